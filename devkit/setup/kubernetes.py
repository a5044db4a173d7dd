"""A Kubernetes API server, the VM Operator's types for it, and Pulumi's Kubernetes provider."""

from __future__ import annotations

import os
import shutil

from devkit.places import BIN, BUILD, TOOLS
from devkit.setup import go
from devkit.setup.parts import Part
from devkit.setup.running import in_dots, run, step

VERSION = (1, 36, 3)  # as tools/kube-apiserver/go.mod requires it
FOLDER = BUILD / "crds"
# What `plugins.providers` of a project names.
PLUGIN = BUILD / "pulumi-kubernetes"
PLUGIN_VERSION = (4, 25, 0)  # released days after the commit that tools/pulumi-resource-kubernetes builds

APISERVER = go.go_part(
    "apiserver",
    TOOLS / "kube-apiserver",
    "vmsnapshot-kube-apiserver",
    "a Kubernetes API server with etcd: about 4 minutes on 2 cores the first time",
    set_strings=(
        # Without a version it doesn't start.
        f"k8s.io/component-base/version.gitVersion=v{in_dots(VERSION)}",
        f"k8s.io/component-base/version.gitMajor={VERSION[0]}",
        f"k8s.io/component-base/version.gitMinor={VERSION[1]}",
    ),
)


def _make_crds() -> None:
    """Copies the VM Operator's CRDs out of its Go module, which is fetched but not built."""
    module, path = TOOLS / "vm-operator-crds", "github.com/vmware-tanzu/vm-operator"
    with step("the VM Operator's CRDs: 16 MB to fetch the first time"):
        fetch = (BIN / "go", "mod", "download", path)
        run("crds", *fetch, folder=module, hint=go.HINT, environment=go.environment())
        fresh = FOLDER.with_name(f".{FOLDER.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for source in sorted((go.module_folder(module, path) / "config" / "crd" / "bases").glob("*.yaml")):
            shutil.copyfile(source, fresh / source.name)  # without the cache's read-only mode
        shutil.rmtree(FOLDER, ignore_errors=True)
        fresh.rename(FOLDER)


CRDS = Part(
    "crds",
    (go.GO,),
    lambda: [TOOLS / "vm-operator-crds"],
    (FOLDER / "vmoperator.vmware.com_virtualmachines.yaml",),
    _make_crds,
)


def _make_plugin() -> None:
    """Builds Pulumi's Kubernetes provider, with the two files that its own main would embed beside it."""
    module, path = TOOLS / "pulumi-resource-kubernetes", "github.com/pulumi/pulumi-kubernetes/provider/v4"
    version = f"{path}/pkg/version.Version={in_dots(PLUGIN_VERSION)}"
    with step("Pulumi's Kubernetes provider: 10 to 20 minutes on 2 cores"):
        linker = ("-ldflags", f"-s -w -X {version}")
        go.build("pulumi-kubernetes", module, PLUGIN / "pulumi-resource-kubernetes", "build", *linker, ".")
        sources = go.module_folder(module, path) / "cmd" / "pulumi-resource-kubernetes"
        for name in ("schema.json", "terraform-mapping.json"):
            (PLUGIN / name).unlink(missing_ok=True)
            shutil.copyfile(sources / name, PLUGIN / name)  # without the cache's read-only mode


KUBERNETES_PLUGIN = Part(
    "pulumi-kubernetes",
    (go.GO,),
    lambda: [TOOLS / "pulumi-resource-kubernetes", in_dots(PLUGIN_VERSION)],
    (PLUGIN / "pulumi-resource-kubernetes", PLUGIN / "terraform-mapping.json"),
    _make_plugin,
)
