"""Runs a real preview on the simulator, and shows it: the README's picture, and the text of a page.

The text goes between the two marks in docs/revert-preview.md, the picture to docs/preview.png. Both come from
one run of the real engine; nothing is drawn that it didn't print. Run it by `make picture`.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from devkit.places import ROOT
from tools.scenario import environment_of, run, simulator, stack

PICTURE = ROOT / "docs" / "preview.png"
PAGE = ROOT / "docs" / "revert-preview.md"
COMMAND = "pulumi preview --diff"

# The look of a terminal: colours of its ground and its text, and those that the engine asks for.
GROUND, TEXT = "#16181d", "#d7dae0"
NAMED_COLOURS = 16
SIZE, MARGIN, SPACING = 22, 24, 1.3


def preview() -> str:
    """What `pulumi preview --diff` prints in colour for one VM after a bad release."""
    with tempfile.TemporaryDirectory(prefix="vmsnapshot-picture-") as name, simulator(Path(name)) as vsphere:
        environment = environment_of(Path(name), vsphere)

        def quietly(command: str) -> None:
            run(command, environment, quiet=True)

        quietly("govc snapshot.create -vm web-1 golden-image")
        with stack(environment):
            quietly(f"pulumi config set vmsnapshot:caFile {name}/vcenter.pem")
            quietly("""pulumi config set virtualMachines '["web-1"]'""")
            quietly("pulumi up --yes --skip-preview")
            quietly("govc vm.power -off -force web-1")
            quietly("govc vm.change -vm web-1 -c 8")
            quietly("govc vm.disk.create -vm web-1 -name web-1/scratch -size 100G")
            quietly("govc vm.power -on web-1")
            quietly("govc snapshot.create -vm web-1 before-hotfix")
            quietly("pulumi config set rollBack true")
            return subprocess.run(
                [*COMMAND.split(), "--color", "always"],
                cwd=ROOT,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # where warnings stand
                text=True,
            ).stdout


def shortened(output: str) -> list[str]:
    """The lines without what tells a reader nothing.

    That is: resources' long names, what a refresh found unchanged, the stack's outputs.
    """
    lines = output.replace("\r", "").split("\n")
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    begun = plain.index("  pulumi:pulumi:Stack: (same)")  # up to here it is the refresh
    end = plain.index("    --outputs:--", begun)
    kept = [
        *_changed(lines[:begun], plain[:begun]),
        *(
            line
            for line, bare in zip(lines[begun:end], plain[begun:end], strict=True)
            if not bare.lstrip().startswith(_LONG)
        ),
    ]
    return [*kept, *(line for line in lines if "to update" in line)]


_LONG = ("[urn=", "[provider=")


def _changed(lines: list[str], plain: list[str]) -> Iterator[str]:
    """The lines of a refresh without properties that are as they were."""
    closing = ""
    for line, bare in zip(lines, plain, strict=True):
        inner = bare.lstrip()
        if closing:
            closing = "" if bare == closing else closing
        elif bare.startswith(" ") and inner[0] not in "~+-}[":
            if bare.endswith("{"):
                closing = f"{bare.removesuffix(inner)}}}"
        elif not inner.startswith((*_LONG, "--outputs:--")):
            yield line


def rows(lines: list[str]) -> Iterator[Text]:
    """The command, then each line with the colours that the engine gave it."""
    yield Text.assemble(("$ ", "bold green"), (COMMAND, "bold"))
    colour = ""
    for line in lines:
        yield Text.from_ansi(colour + line)
        codes = re.findall(r"\x1b\[[0-9;]*m", line)
        colour = codes[-1] if codes else colour  # a colour goes on until the next one


def draw(lines: list[str]) -> Image.Image:
    """A terminal with these lines in it."""
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    regular = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), SIZE)
    bold = ImageFont.truetype(str(fonts / "DejaVuSansMono-Bold.ttf"), SIZE)
    console = Console(file=io.StringIO(), color_system="truecolor")
    texts = list(rows(lines))
    step, height = regular.getlength("M"), int(SIZE * SPACING)
    widest = max(text.cell_len for text in texts)
    image = Image.new("RGB", (int(widest * step) + 2 * MARGIN, len(texts) * height + 2 * MARGIN), GROUND)
    pen = ImageDraw.Draw(image)
    for number, text in enumerate(texts):
        column = 0
        for segment in text.render(console):
            style = segment.style or Style.null()
            place = (MARGIN + column * step, MARGIN + number * height)
            pen.text(place, segment.text, fill=colour_of(style), font=bold if style.bold else regular)
            column += segment.cell_length
    return image


def colour_of(style: Style) -> str:
    """A colour as a terminal with a dark ground shows it."""
    if style.color is None or style.color.number is None:
        return TEXT
    if style.color.number < NAMED_COLOURS:
        return "#{:02x}{:02x}{:02x}".format(*SVG_EXPORT_THEME.ansi_colors[style.color.number])
    return style.color.get_truecolor().hex


def main() -> None:
    """Make both from one run."""
    lines = shortened(preview())
    PICTURE.parent.mkdir(exist_ok=True)
    draw(lines).save(PICTURE, optimize=True)
    text = "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines).strip("\n")
    old = PAGE.read_text(encoding="utf-8")
    head, found, rest = old.partition("<!-- preview -->\n")
    _, found_end, tail = rest.partition("<!-- /preview -->")
    if not (found and found_end):
        sys.exit(f"{PAGE.name} has lost the marks between which the preview stands")
    shown = f"```text\n$ {COMMAND}\n{text}\n```\n"
    PAGE.write_text(head + found + shown + found_end + tail, encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)} and {PAGE.relative_to(ROOT)} show a new run")


if __name__ == "__main__":
    main()
