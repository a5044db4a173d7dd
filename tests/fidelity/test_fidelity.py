"""What a preview announces is what there is after the update, over random histories of VMs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pyVmomi import vim
from pyVmomi.VmomiSupport import binary

from tests.fidelity.actors import Actor, Power, Seen
from tests.fidelity.life import Life
from tests.support.client import other_client
from tests.support.plugin import plugin
from tests.support.samples import sample
from tests.support.simulator import running

# Parts, which run at the same time, and reverts of ours in each: no fewer than a run of histories has anyhow.
ALL = sample("REVERTS", few=60, full=504)
PARTS = min(6, max(1, ALL // 30))
REVERTS = ALL // PARTS

# Each history begins on a VM that nobody has touched.
MACHINES = 100
STEPS = 40

# vSphere takes 32 in a chain; what happens beyond is another test's.
MOST_SNAPSHOTS = 30

NAMES = st.sampled_from(["base", "release 41", "größe", "リリース", "base-2"])
WHICH = st.integers(0, MOST_SNAPSHOTS - 1)
POLICIES = st.sampled_from(["snapshot", "on", "off"])
SAFETY = st.sampled_from([{}, {"memory": True}, {"keepUpdates": 1}, {"maxAge": "1h"}])
SPELLINGS = st.sampled_from(["id", "name", "path"])
MODES = st.sampled_from(["persistent", "independent_persistent", "independent_nonpersistent"])
CARDS = st.sampled_from(["VirtualVmxnet3", "VirtualE1000e"])
# The properties of a ConfigSpec that aren't drawn from WHOLE_CONFIG, and why.
_NOT_DRAWN: Final = {
    **dict.fromkeys(("instanceUuid", "uuid"), "what the VM is known by"),
    **dict.fromkeys(("changeVersion", "createDate", "files", "locationId"), "no update sets it"),
    **dict.fromkeys(("annotation", "guestId", "version"), "drawn by the rule `configure`"),
    **dict.fromkeys(("numCPUs", "numCoresPerSocket", "memoryMB"), "drawn by the rule `configure`"),
    "name": "drawn by the rule `rename`",
    "deviceChange": "drawn by the rules of devices, disks and adapters",
    "vAppConfig": "drawn by the rule `set_up_vapp`",
    "vAppConfigRemoved": "a ConfigSpec's order, no setting: what it removes is drawn",
    "npivWorldWideNameOp": "a ConfigSpec's order, no setting: names are drawn themselves",
    "ftInfo": "fault tolerance: vSphere takes no snapshot of such a VM, and a revert is refused",
    # "You cannot perform a deep recrypt on a virtual machine with snapshots. You can perform a shallow
    # recrypt on a virtual machine with snapshots." (vSphere Security 8.0, Virtual Machine Encryption
    # Interoperability.) No source says which key the snapshot's configuration names after one.
    "crypto": "with snapshots only the key can be exchanged, and what a revert does then isn't documented",
    **dict.fromkeys(("tagSpecs", "vmPlacementPolicies", "vmProfile"), "no part of a VM's configuration"),
    "dynamicProperty": "the API's own, in each type",
}


def _plain_settings() -> dict[str, st.SearchStrategy[Any]]:
    """Each property of a ConfigSpec that is a plain value, and stands in the configuration by its name."""
    shown: dict[str, Any] = {info.name: info.type for info in vim.vm.ConfigInfo._GetPropertyList()}
    drawn: dict[str, st.SearchStrategy[Any]] = {}
    for info in vim.vm.ConfigSpec._GetPropertyList():
        kind: Any = info.type
        if info.name in _NOT_DRAWN or shown.get(info.name) != kind:
            continue
        if issubclass(kind, bool):
            drawn[info.name] = st.booleans()
        elif issubclass(kind, int):
            drawn[info.name] = st.integers(1, 9)
        elif issubclass(kind, str):
            drawn[info.name] = st.sampled_from(["one", "größe"])
    return drawn


# What the simulator takes of a ConfigSpec beside hardware.
_ALLOCATION = st.builds(
    vim.ResourceAllocationInfo,
    reservation=st.sampled_from([0, 500]),
    limit=st.sampled_from([-1, 4000]),
    expandableReservation=st.just(False),
    shares=st.builds(vim.SharesInfo, level=st.sampled_from(["low", "high"]), shares=st.just(1000)),
)
_EXTRA = st.builds(
    vim.option.OptionValue,
    key=st.sampled_from(["disk.EnableUUID", "guestinfo.userdata", "svga.vramSize", "sched.mem.pin"]),
    value=st.sampled_from(["TRUE", "FALSE", "größe", ""]),
)
_LATENCY = st.builds(vim.LatencySensitivity, level=st.sampled_from(["normal", "high"]))
_BOOT: Any = vim.vm.BootOptions
_ORDERS = st.sampled_from(
    [
        [_BOOT.BootableCdromDevice],
        [_BOOT.BootableFloppyDevice],
        [_BOOT.BootableFloppyDevice, _BOOT.BootableCdromDevice],
    ]
)
WHOLE_CONFIG: Final = {
    **_plain_settings(),
    "firmware": st.sampled_from(["bios", "efi"]),
    "flags": st.builds(
        vim.vm.FlagInfo,
        enableLogging=st.booleans(),
        diskUuidEnabled=st.booleans(),
        vbsEnabled=st.booleans(),
        virtualMmuUsage=st.sampled_from(["automatic", "on"]),
    ),
    "powerOpInfo": st.builds(
        vim.vm.DefaultPowerOpInfo,
        powerOffType=st.sampled_from(["soft", "hard"]),
        standbyAction=st.sampled_from(["checkpoint", "powerOnSuspend"]),
    ),
    "sgxInfo": st.builds(
        vim.vm.SgxInfo, epcSize=st.integers(0, 8), flcMode=st.just("locked"), lePubKeyHash=st.just("ab")
    ),
    "scheduledHardwareUpgradeInfo": st.builds(
        vim.vm.ScheduledHardwareUpgradeInfo, upgradePolicy=st.sampled_from(["never", "always"])
    ),
    "memoryAffinity": st.builds(vim.vm.AffinityInfo, affinitySet=st.lists(st.integers(0, 3), min_size=2)),
    "cpuAllocation": _ALLOCATION,
    "memoryAllocation": _ALLOCATION,
    "cpuAffinity": st.builds(vim.vm.AffinityInfo, affinitySet=st.lists(st.integers(0, 3), min_size=2)),
    "extraConfig": st.lists(_EXTRA, min_size=1, max_size=2, unique_by=lambda item: item.key),
    "bootOptions": st.builds(
        vim.vm.BootOptions,
        bootDelay=st.sampled_from([0, 5000]),
        enterBIOSSetup=st.booleans(),
        efiSecureBootEnabled=st.booleans(),
        networkBootProtocol=st.sampled_from(["ipv4", "ipv6"]),
        bootOrder=_ORDERS.map(lambda kinds: [kind() for kind in kinds]),
    ),
    "latencySensitivity": _LATENCY,
    "consolePreferences": st.builds(vim.vm.ConsolePreferences, enterFullScreenOnPowerOn=st.booleans()),
    "tools": st.builds(vim.vm.ToolsConfigInfo, afterPowerOn=st.booleans(), syncTimeWithHost=st.booleans()),
    "managedBy": st.builds(vim.ext.ManagedByInfo, extensionKey=st.just("shop"), type=st.just("vm")),
    # What the configuration has below its hardware, or under another name.
    "motherboardLayout": st.sampled_from(["i440bxHostBridge", "acpiHostBridges"]),
    "simultaneousThreads": st.sampled_from([1, 2]),
    "virtualICH7MPresent": st.booleans(),
    "virtualSMCPresent": st.booleans(),
    "networkShaper": st.builds(
        vim.vm.NetworkShaperInfo, enabled=st.booleans(), peakBps=st.sampled_from([1000, 2000])
    ),
    "deviceGroups": st.builds(
        vim.vm.VirtualDeviceGroups,
        deviceGroup=st.lists(
            st.builds(
                vim.vm.VirtualDeviceGroups.VendorDeviceGroup,
                groupInstanceKey=st.just(1),
                deviceGroupName=st.sampled_from(["gpu pair", "gpu four"]),
            ),
            min_size=1,
            max_size=1,
        ),
    ),
    "deviceSwap": st.builds(
        vim.vm.VirtualDeviceSwap,
        lsiToPvscsi=st.builds(
            vim.vm.VirtualDeviceSwap.DeviceSwapInfo,
            enabled=st.booleans(),
            applicable=st.just(True),
            status=st.sampled_from(["none", "scheduled"]),
        ),
    ),
    "repConfig": st.builds(
        vim.vm.ReplicationConfigSpec,
        generation=st.integers(0, 3),
        vmReplicationId=st.just("one"),
        destination=st.sampled_from(["192.0.2.1", "192.0.2.2"]),
        port=st.just(31031),
        rpo=st.sampled_from([15, 240]),
        quiesceGuestEnabled=st.booleans(),
        paused=st.booleans(),
        oppUpdatesEnabled=st.booleans(),
    ),
    "virtualNuma": st.builds(
        vim.vm.VirtualNuma, coresPerNumaNode=st.sampled_from([0, 2]), exposeVnumaOnCpuHotadd=st.booleans()
    ),
    "vcpuConfig": st.lists(
        _LATENCY.map(lambda level: vim.vm.VcpuConfig(latencySensitivity=level)), min_size=1
    ),
    "cpuFeatureMask": st.lists(
        st.builds(
            vim.vm.ConfigSpec.CpuIdInfoSpec,
            operation=st.sampled_from(["add", "remove"]),
            info=st.builds(
                vim.host.CpuIdInfo,
                level=st.sampled_from([1, -2147483647]),
                eax=st.sampled_from(["----", "0000"]).map(lambda part: ":".join([part] * 8)),
            ),
        ),
        min_size=1,
        max_size=2,
    ),
    "npivNodeWorldWideName": st.lists(st.integers(1, 2**62), min_size=1, max_size=2),
    "npivPortWorldWideName": st.lists(st.integers(1, 2**62), min_size=1, max_size=2),
    "guestMonitoringModeInfo": st.builds(
        vim.vm.GuestMonitoringModeInfo, gmmFile=st.sampled_from(["a", "b"]), gmmAppliance=st.just("c")
    ),
    "pmem": st.builds(
        vim.vm.VirtualPMem,
        snapshotMode=st.sampled_from(["independent_persistent", "independent_eraseonrevert"]),
    ),
}
_KINDS: Any = vim.vm.device
_PASSTHROUGH = _KINDS.VirtualPCIPassthrough
# Devices beside disks and network adapters, each with its backing.
DEVICES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.builds(_KINDS.VirtualNVMEController, busNumber=st.integers(1, 3)),
    st.builds(_KINDS.VirtualAHCIController, busNumber=st.integers(1, 3)),
    st.builds(_KINDS.VirtualUSBXHCIController, busNumber=st.just(1), autoConnectDevices=st.booleans()),
    st.builds(
        _KINDS.VirtualUSB,
        connected=st.just(False),
        backing=st.builds(
            _KINDS.VirtualUSB.RemoteHostBackingInfo, deviceName=st.just("key"), hostname=st.just("h")
        ),
    ),
    st.builds(
        _KINDS.VirtualSerialPort,
        yieldOnPoll=st.booleans(),
        backing=st.builds(
            _KINDS.VirtualSerialPort.URIBackingInfo,
            serviceURI=st.sampled_from(["tcp://a:1", "tcp://b:2"]),
            direction=st.sampled_from(["client", "server"]),
        ),
    ),
    st.builds(
        _PASSTHROUGH,
        backing=st.builds(_PASSTHROUGH.VmiopBackingInfo, vgpu=st.sampled_from(["p4-8q", "t4-16q"])),
    ),
    st.builds(
        _PASSTHROUGH,
        backing=st.builds(
            _PASSTHROUGH.DynamicBackingInfo,
            deviceName=st.just("gpu"),
            customLabel=st.sampled_from(["a", "b"]),
            allowedDevice=st.builds(
                lambda vendor, device: [_PASSTHROUGH.AllowedDevice(vendorId=vendor, deviceId=device)],
                st.just(4318),
                st.integers(1, 3),
            ),
        ),
    ),
    st.builds(_KINDS.VirtualTPM, endorsementKeyCertificate=st.just([binary(b"certificate")])),
    st.builds(_KINDS.VirtualHdAudioCard),
)
BACKINGS: Final[st.SearchStrategy[Any]] = st.one_of(
    st.builds(
        _KINDS.VirtualCdrom.RemotePassthroughBackingInfo,
        deviceName=st.sampled_from(["", "cd"]),
        exclusive=st.booleans(),
    ),
    st.builds(
        _KINDS.VirtualCdrom.IsoBackingInfo,
        fileName=st.sampled_from(["[LocalDS_0] a.iso", "[LocalDS_0] b.iso"]),
    ),
    st.builds(
        _KINDS.VirtualSerialPort.URIBackingInfo,
        serviceURI=st.sampled_from(["tcp://c:3", "tcp://d:4"]),
        direction=st.just("client"),
    ),
)


has_snapshots = precondition(lambda self: bool(self.tree))
exists = precondition(lambda self: self.life.exists)
has_room = precondition(lambda self: len(self.tree) < MOST_SNAPSHOTS)


class History(RuleBasedStateMachine):
    """What others and we do to one VM, in any order."""

    new_life: Callable[[], Life]
    lives: list[Life]

    def __init__(self) -> None:
        super().__init__()
        self.life = type(self).new_life()
        self.lives.append(self.life)
        self.tree: list[Seen] = []

    @property
    def actor(self) -> Actor:
        """Somebody else at the same vSphere."""
        return self.life.actor

    @invariant()
    def look(self) -> None:
        """See, after each step, which snapshots there are."""
        self.tree = self.actor.tree()

    def target(self, which: int) -> Seen:
        """One of the snapshots."""
        return self.tree[which % len(self.tree)]

    @initialize(
        version=st.sampled_from(["vmx-15", "vmx-19", "vmx-21"]),
        watched=st.booleans(),
        taken=st.lists(st.tuples(NAMES, st.booleans(), st.booleans()), min_size=1, max_size=3),
    )
    def begin(self, version: str, watched: bool, taken: list[tuple[str, bool, bool]]) -> None:
        """A VM of some hardware version, watched by us or not yet, with something to revert to."""
        # Each VM on vSphere has flags.
        self.actor.configure(version=version, flags=vim.vm.FlagInfo(enableLogging=True))
        if watched:
            self.life.watch()
        for name, memory, ours in taken:
            self.take(name, memory, ours)

    # --- snapshots ----------------------------------------------------------------------------

    @has_room
    @rule(name=NAMES, memory=st.booleans(), ours=st.booleans())
    def take(self, name: str, memory: bool, ours: bool) -> None:
        """We or somebody take a snapshot."""
        (self.life if ours else self.actor).take(name, memory=memory)

    @has_snapshots
    @rule(
        which=WHICH,
        changes=st.sampled_from([("name",), ("description",), ("name", "description")]),
        text=NAMES,
    )
    def edit(self, which: int, changes: tuple[str, ...], text: str) -> None:
        """Somebody changes a snapshot's name or description."""
        self.actor.edit(self.target(which).id, **dict.fromkeys(changes, text))

    @has_snapshots
    @rule(which=WHICH, children=st.booleans())
    def remove(self, which: int, children: bool) -> None:
        """Somebody removes a snapshot, with or without those below it."""
        self.actor.remove(self.target(which).id, children=children)

    @precondition(lambda self: bool(self.life.ours))
    @rule(which=WHICH)
    def remove_ours(self, which: int) -> None:
        """We delete one of our snapshots."""
        self.life.remove(which)

    @has_snapshots
    @rule(which=WHICH)
    def somebody_reverts(self, which: int) -> None:
        """Somebody reverts the VM."""
        self.actor.revert(self.target(which).id)
        self.life.others += 1

    # --- the VM -------------------------------------------------------------------------------

    @rule(to=st.sampled_from(["on", "off", "suspended"]))
    def power(self, to: Power) -> None:
        """Somebody switches the VM on or off, or suspends it."""
        self.actor.power(to)

    @rule(
        settings=st.fixed_dictionaries(
            {},
            optional={
                "numCPUs": st.sampled_from([1, 2, 4, 8]),
                "numCoresPerSocket": st.sampled_from([1, 2]),
                "memoryMB": st.sampled_from([1024, 2048, 65536]),
                "annotation": st.sampled_from(["for the shop", "zwei\nZeilen"]),
                "guestId": st.sampled_from(["ubuntu64Guest", "windows2019srv_64Guest"]),
                "version": st.sampled_from(["vmx-20", "vmx-21"]),
            },
        )
    )
    def configure(self, settings: dict[str, Any]) -> None:
        """Somebody changes hardware or settings."""
        self.actor.configure(**settings)

    @rule(settings=st.fixed_dictionaries({}, optional=WHOLE_CONFIG))
    def configure_anything(self, settings: dict[str, Any]) -> None:
        """Somebody changes what has no property of its own."""
        if settings.get("bootOptions") and settings["bootOptions"].efiSecureBootEnabled:
            settings["firmware"] = "efi"  # the server refuses it otherwise
        self.actor.configure(**settings)

    @rule(device=DEVICES)
    def add_device(self, device: Any) -> None:
        """Somebody adds a controller, a port, a GPU, a TPM, …."""
        self.actor.add_device(device)

    @rule(which=WHICH, backing=BACKINGS)
    def change_device(self, which: int, backing: Any) -> None:
        """Somebody puts another CD in, or connects a serial port elsewhere."""
        self.actor.change_device(which, backing)

    @rule(which=WHICH)
    def remove_device(self, which: int) -> None:
        """Somebody takes such a device off the VM."""
        self.actor.remove_device(which)

    @rule(value=NAMES, version=st.sampled_from(["1", "2"]))
    def set_up_vapp(self, value: str, version: str) -> None:
        """Somebody changes vApp options."""
        self.actor.set_up_vapp(value, version)

    @rule(gib=st.sampled_from([1, 10, 100]), mode=MODES)
    def add_disk(self, gib: int, mode: str) -> None:
        """Somebody adds a disk, also such as snapshots leave alone."""
        self.actor.add_disk(gib, mode)

    @rule(which=WHICH)
    def remove_disk(self, which: int) -> None:
        """Somebody takes a disk off the VM."""
        self.actor.remove_disk(which)

    @rule(what=st.sampled_from(["add", "move", "remove"]), which=WHICH, network=WHICH, kind=CARDS)
    def adapters(self, what: str, which: int, network: int, kind: str) -> None:
        """Somebody adds, moves or removes a network adapter."""
        if what == "add":
            self.actor.add_adapter(kind, network)
        elif what == "move":
            self.actor.move_adapter(which, network)
        else:
            self.actor.remove_adapter(which)

    @rule(name=st.sampled_from(["shop", "web", "база"]))
    def rename(self, name: str) -> None:
        """Somebody renames the VM."""
        self.actor.rename(f"{name}-{self.actor.id}")

    # --- our reverts --------------------------------------------------------------------------

    @has_snapshots
    @rule(which=WHICH, spelling=SPELLINGS, policy=POLICIES, again=st.booleans())
    def revert(self, which: int, spelling: str, policy: str, again: bool) -> None:
        """Another snapshot may be another request, or be spelt differently, or nothing new."""
        self.life.revert(self.target(which), spelling=spelling, policy=policy, safety=None, again=again)

    @has_snapshots
    @rule(which=WHICH, policy=POLICIES)
    def revert_again(self, which: int, policy: str) -> None:
        """A changed trigger asks for a revert."""
        target = self.target(which)
        self.life.revert(target, spelling="id", policy=policy, safety=None, again=True)

    @has_snapshots
    @has_room
    @rule(which=WHICH, policy=POLICIES, safety=SAFETY)
    def revert_safely(self, which: int, policy: str, safety: dict[str, Any]) -> None:
        """A safety snapshot is taken first."""
        target = self.target(which)
        self.life.revert(target, spelling="path", policy=policy, safety=safety, again=True)

    @has_snapshots
    @rule(policy=POLICIES, spelling=SPELLINGS)
    def revert_to_the_current_one(self, policy: str, spelling: str) -> None:
        """What was written since the current snapshot is lost."""
        current = self.actor.current()
        target = next((item for item in self.tree if item.id == current), self.tree[0])
        self.life.revert(target, spelling=spelling, policy=policy, safety=None, again=True)

    @exists
    @rule(policy=st.none() | POLICIES)
    def ask_nothing(self, policy: str | None) -> None:
        """An update that asks for no revert."""
        self.life.ask_nothing(policy)

    @exists
    @rule()
    def start_over(self) -> None:
        """The resource is deleted; a later one knows nothing of it."""
        self.life.start_over()


@pytest.fixture
def lives() -> Iterator[tuple[Callable[[], Life], Callable[[], int]]]:
    """Makes the next life, on a VM of its own; and how many reverts the platform counts."""
    names = [f"machine-{number}" for number in range(MACHINES)]
    arguments = ["--names", ",".join(names), "--task-duration", "0s"]
    with running(*arguments) as simulator, other_client(simulator) as client:
        following = iter(names)
        with plugin(simulator.settings) as provider:
            yield (
                lambda: Life(Actor(client, next(following)), provider),
                lambda: sum(item["op"] == "revert" for item in simulator.history()),
            )


@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_what_is_announced_is_what_happens(
    part: int, lives: tuple[Callable[[], Life], Callable[[], int]], record_property: Callable[..., None]
) -> None:
    """Machine, power, target and branch are after each of many reverts what their preview announced."""
    new_life, counted = lives

    class Part(History):
        pass

    Part.new_life = staticmethod(new_life)
    Part.lives = []

    def reverts() -> int:
        return sum(life.reverts for life in Part.lives)

    while reverts() < REVERTS and len(Part.lives) < MACHINES - 5:
        run_state_machine_as_test(
            Part,
            settings=settings(
                # The first of each run is the simplest there is, so a run isn't too short; it can't be
                # ended when there are enough reverts, so it isn't too long.
                max_examples=3,
                stateful_step_count=STEPS,
                database=None,
                # A smaller history isn't worth the minutes: each of its steps is real.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
    record_property("reverts compared", reverts())
    assert reverts() >= REVERTS, f"in {len(Part.lives)} histories"
    # Each was a revert indeed, and nobody made more.
    assert counted() == reverts() + sum(life.others for life in Part.lives)


def test_a_property_is_drawn_or_it_is_said_why_not() -> None:
    """Each property of a ConfigSpec, so that one of a later pyVmomi isn't overlooked."""
    properties = {info.name for info in vim.vm.ConfigSpec._GetPropertyList()}
    assert set(WHOLE_CONFIG).isdisjoint(_NOT_DRAWN)
    assert properties == set(WHOLE_CONFIG) | set(_NOT_DRAWN)
