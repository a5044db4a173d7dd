"""PyVmomi's decoder with a memory of what it finds out about classes and tags, else anew for each element.

Decoding is the largest part of a command's processor time when it is about many VMs, and more than half of it
went into such questions: which properties a class has, which type a tag is of, what a version calls it. Each
step is pyVmomi's own, and what isn't among the frequent cases is left to pyVmomi, faults included. No other
library makes pyVmomi's objects of vSphere's answers, and pyVmomi has no setting for this.

In one thing it differs: a fault of a class that pyVmomi doesn't know (vmware/pyvmomi issue 72) is one without
any property, and a reference to an object of such a class (issues 764, 872 and 1016: ContentLibrary) is one
of the class that is declared. PyVmomi gives the whole answer up.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from pyVmomi import Iso8601, SoapAdapter, VmomiSupport, vmodl

# What is untyped through and through, as in `_stub`.
_Decoder: Any = SoapAdapter.SoapDeserializer
_Fault: Final[Any] = SoapAdapter.LocalizedMethodFault
_Data: Final[Any] = VmomiSupport.DataObject
_Managed: Final[Any] = VmomiSupport.ManagedObject
# Sorts of types. No enum: reading a member takes longer than all else that is done with one.
_PLAIN: Final = 0
_DATA: Final = 1
_LIST: Final = 2
_MANAGED: Final = 3

# Stands for what is left to pyVmomi; no value of an answer is this.
_OTHER: Final = object()


class _Property:
    """One property of a class of data, found by its tag.

    Attributes:
        name: Its name in Python.
        type: Its declared type.
        is_list: Whether that is a list.
        is_fault: Whether it is called `fault`, which may stand in a LocalizedMethodFault.
        begins: What an element of it is that doesn't say its own type: see `_begin`.
        taken: The types of values that pyVmomi has let it be: it looks at nothing else of them.
    """

    __slots__ = ("begins", "is_fault", "is_list", "name", "taken", "type")

    def __init__(self, kind: Any, tag: str, version: str) -> None:
        name = tag.rpartition(SoapAdapter.NS_SEP)[2]
        info = kind._GetPropertyInfo(name)  # noqa: SLF001 - public by pyVmomi's own words
        self.name: str = info.name
        self.type: Any = info.type
        self.is_list = issubclass(info.type, list)
        self.is_fault = name == "fault"
        self.begins = _begin(info.type.Item if self.is_list else info.type, version)
        self.taken: set[type] = {info.type}


class _Shape:
    """What a new object of a class of data holds."""

    __slots__ = ("lists", "values")

    def __init__(self, kind: Any) -> None:
        self.values: dict[str, Any] = vars(kind())
        self.lists = [(name, type(value)) for name, value in self.values.items() if isinstance(value, list)]


# A server's answers repeat the same moments: when each layout was last brought up to date.
@functools.lru_cache(maxsize=4096)
def _moment(text: str) -> Any:
    return Iso8601.ParseISO8601(text) or _OTHER


# What makes a value of an element's text, by its type; of enumerations when one is first met.
_texts: Final[dict[Any, Callable[[str], Any]]] = {
    **{kind: kind for kind in (int, float, VmomiSupport.byte, VmomiSupport.short)},
    **{kind: kind for kind in (VmomiSupport.long, VmomiSupport.double, VmomiSupport.PropertyPath)},
    str: lambda text: text,
    bool: lambda text: {"true": True, "false": False}.get(text, _OTHER),
    dt.datetime: _moment,
}
# All of these grow with the API's classes only, and the same is kept whichever thread is first.
# The properties of classes by their tags, of each version of the API.
_properties: Final[defaultdict[str, defaultdict[Any, dict[str, _Property]]]] = defaultdict(
    lambda: defaultdict(dict)
)
_shapes: Final[dict[Any, _Shape]] = {}
_begins: Final[dict[tuple[Any, str], tuple[Any, int, bool]]] = {}
_saids: Final[dict[tuple[str, str, Any, str], tuple[Any, int, bool]]] = {}
_named: Final[dict[tuple[str, str, bool], Any]] = {}


class Decoder(_Decoder):  # type: ignore[misc]
    """Decodes one answer."""

    def __init__(self, stub: Any = None, version: str | None = None) -> None:
        super().__init__(stub, version)
        self._version = self.version or ""
        self._properties = _properties[self._version]
        # How deep within a fault of an unknown class the parser is; None: in none.
        self._skipped: int | None = None

    def StartElementHandler(self, tag: str, attr: dict[str, str]) -> None:  # noqa: N802 - pyVmomi's
        """Put what a new element is decoded to on the stack: the object, or the type of a plain value."""
        if self._skipped is not None:
            self._skipped += 1
            return
        stack = self.stack
        top = stack[-1] if stack else None
        is_fault = False
        if isinstance(top, _Data):
            known = self._property(type(top), tag)
            declared = known.type
            is_fault = known.is_fault and isinstance(top, _Fault)
            if is_fault and (name := self._unknown_fault(attr)) is not None:
                self._skip(name)
                return
            kind, sort, is_exception = self._said(attr, declared, known.begins) if attr else known.begins
        elif isinstance(top, list):
            declared = top.Item  # type: ignore[attr-defined] # pyVmomi's own lists
            item = declared.Item if issubclass(declared, list) else declared
            kind, sort, is_exception = self._said(attr, declared, _begin(item, self._version))
        elif not stack and self.isFault and (name := self._unknown_fault(attr)) is not None:
            self._skip(name)
            return
        else:
            super().StartElementHandler(tag, attr)
            return
        self.data = ""
        self.serverGuid = None
        if sort is _PLAIN:
            stack.append(kind)
        elif sort is _DATA:
            stack.append(_new(_Fault if is_exception and not is_fault else kind))
        elif sort is _LIST:
            stack.append(kind())
        else:
            if "serverGuid" in attr and not (self.stub and self.stub.SupportServerGUIDs()):
                self.serverGuid = attr["serverGuid"]
            stack.append(self._referred(attr, declared))

    def _referred(self, attr: dict[str, str], declared: Any) -> Any:
        """The class of what an element refers to; of one that pyVmomi doesn't know, as is declared."""
        space, name = self.GetNSAndWsdlname(attr["type"])
        try:
            return self._type(space, name, reference=False)
        except KeyError:
            kind = declared.Item if issubclass(declared, list) else declared
            if not issubclass(kind, _Managed):
                raise
            return kind

    def _unknown_fault(self, attr: dict[str, str]) -> str | None:
        """The class that a fault says to be of, if pyVmomi doesn't know that; else None."""
        said = attr.get(SoapAdapter.XSI_TYPE)
        if said is None:
            return None
        space, name = self.GetNSAndWsdlname(said)
        try:
            self._type(space, name, reference=True)
        except KeyError:
            return str(name)
        return None

    def _skip(self, name: str) -> None:
        """Begin with a fault of an unknown class: what it holds means nothing to anybody here."""
        self.data = ""
        self.serverGuid = None
        self._skipped = 0
        self.stack.append(_fault_of(name)())

    def _said(
        self, attr: dict[str, str], declared: Any, begins: tuple[Any, int, bool]
    ) -> tuple[Any, int, bool]:
        """What an element is: what it says itself, where it does and may, else `begins`, as is declared."""
        said = attr.get(SoapAdapter.XSI_TYPE)
        if not said:
            return begins
        space, name = self.GetNSAndWsdlname(said)
        key = space, name, declared, self._version
        if (known := _saids.get(key)) is None:
            if SoapAdapter.isDynamicType(declared):
                return _begin(declared, self._version)  # whatever it says, which is no class of the API
            kind = self._type(space, name, reference=True)
            both_lists = issubclass(kind, list) and issubclass(declared, list)
            known = _saids[key] = _begin(declared if both_lists else kind, self._version)
        return known

    def _type(self, space: str, name: str, *, reference: bool) -> Any:
        key = space, name, reference
        if (known := _named.get(key)) is None:
            known = _named[key] = self.LookupWsdlType(space, name, reference)
        return known

    def EndElementHandler(self, tag: str) -> None:  # noqa: N802 - likewise
        """Take the element off the stack, and give it to the one that it belongs to."""
        if self._skipped:
            self._skipped -= 1
            return
        self._skipped = None
        stack = self.stack
        top: Any = stack[-2] if len(stack) > 1 else None
        is_data = isinstance(top, _Data)
        value = self._value(stack[-1]) if is_data or isinstance(top, list) else _OTHER
        if value is _OTHER:
            super().EndElementHandler(tag)
            return
        stack.pop()
        if not is_data:
            top.append(value)
            return
        known = self._property(type(top), tag)
        if known.is_list and not isinstance(value, list):
            getattr(top, known.name).append(value)
        elif type(value) in known.taken:
            vars(top)[known.name] = value
        else:
            setattr(top, known.name, value)  # where pyVmomi looks whether it may be
            if known.type is object or not isinstance(value, list):
                known.taken.add(type(value))

    def _value(self, found: Any) -> Any:
        """What an element is decoded to; `_OTHER`: pyVmomi is to do it.

        Args:
            found: What is on the stack for it: an object, or the type of a plain value.
        """
        if not isinstance(found, type):
            return _OTHER if isinstance(found, _Fault) else found
        if (known := _texts.get(found)) is not None:
            return known(self.data)
        if issubclass(found, _Managed):
            return found(self.data, self.stub, self.serverGuid)
        if issubclass(found, VmomiSupport.Enum):
            _texts[found] = functools.partial(getattr, found)
            return getattr(found, self.data)
        return _OTHER

    def _property(self, kind: Any, tag: str) -> _Property:
        of_kind = self._properties[kind]
        if (known := of_kind.get(tag)) is None:
            known = of_kind[tag] = _Property(kind, tag, self._version)
        return known


def _begin(kind: Any, version: str) -> tuple[Any, int, bool]:
    """What a type is in a version of the API; its sort; whether it is a fault's."""
    key = kind, version
    if (known := _begins.get(key)) is None:
        if version:
            kind = VmomiSupport.GetCompatibleType(kind, version)
        known = _begins[key] = kind, _sort(kind), issubclass(kind, Exception)
    return known


@functools.lru_cache(maxsize=64)
def _fault_of(name: str) -> Any:
    """A class of faults that pyVmomi doesn't know: messages show its name."""
    return type(name, (vmodl.MethodFault,), {})


def _sort(kind: Any) -> int:
    if issubclass(kind, _Managed):
        return _MANAGED
    if issubclass(kind, _Data):
        return _DATA
    return _LIST if issubclass(kind, list) else _PLAIN


def _new(kind: Any) -> Any:
    """An object as its class makes it."""
    if (shape := _shapes.get(kind)) is None:
        if issubclass(kind, Exception):
            return kind()
        shape = _shapes[kind] = _Shape(kind)
    made = kind.__new__(kind)
    held = vars(made)
    held.update(shape.values)
    for name, of in shape.lists:
        held[name] = of()
    return made
