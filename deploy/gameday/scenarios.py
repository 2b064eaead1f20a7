"""What can break, one thing at a time: how, how it is healed, and which alert is the right one."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.gameday.world import Sample, World
from streamer.sandbox.faults import Fault

Samples = Sequence[Sample]
Symptom = Callable[[Samples, Samples], bool]
SOON_S: Final = 14 * 86_400


@dataclass(frozen=True, slots=True)
class Scenario:
    """`alerts`: any of them is right. `symptom` is what the service's own metrics show, where no Prometheus
    looks at them: it is given those of some seconds ago and those of now, none where there was no answer.
    """

    name: str
    says: str
    alerts: frozenset[str]
    symptom: Symptom
    breaks: Callable[[World], Awaitable[None]]
    heals: Callable[[World], Awaitable[None]]
    needs_tls: bool = False


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of those that have these labels."""
    return sum(
        sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
    )


def unready(component: str) -> Symptom:
    def shown(_: Samples, samples: Samples) -> bool:
        return any(
            sample.name == "streamer_component_ready"
            and sample.labels["component"] == component
            and sample.value == 0
            for sample in samples
        )

    return shown


def above(least: float, name: str, **labels: str) -> Symptom:
    return lambda _, samples: value(samples, name, **labels) > least


def growing(name: str, **labels: str) -> Symptom:
    return lambda before, samples: (
        bool(before) and (value(samples, name, **labels) > value(before, name, **labels))
    )


async def _clear_faults(world: World) -> None:
    world.sandbox.faults.clear()


def _faults(*faults: Fault, cuts: bool = False) -> Callable[[World], Awaitable[None]]:
    async def breaks(world: World) -> None:
        for fault in faults:
            world.sandbox.faults.add(fault)
        if cuts:
            await world.cut()

    return breaks


async def _refuse_writes(world: World) -> None:
    world.refuse_writes()


async def _allow_writes(world: World) -> None:
    world.allow_writes()


async def _spoil_partners(world: World) -> None:
    with world.partners.open("a", encoding="utf-8") as file:
        file.write('\n[Another Partner]\nkeys = "none yet"\n')


async def _mend_partners(world: World) -> None:
    text = world.partners.read_text("utf-8")
    world.partners.write_text(text.partition("\n[Another Partner]")[0], "utf-8")


async def _spoil_settings(world: World) -> None:
    text = world.settings.read_text("utf-8")
    world.settings.write_text(text.replace("heartbeat_s = 2", 'heartbeat_s = "often"'), "utf-8")
    world.reload()


async def _mend_settings(world: World) -> None:
    text = world.settings.read_text("utf-8")
    world.settings.write_text(text.replace('heartbeat_s = "often"', "heartbeat_s = 2"), "utf-8")
    world.reload()


async def _soon_over(world: World) -> None:
    await world.soon_over()
    world.reload()


def _ends_soon(_: Samples, samples: Samples) -> bool:
    name = "streamer_deliver_certificate_expiry_timestamp_seconds"
    return any(sample.name == name and 0 < sample.value - time.time() < SOON_S for sample in samples)


async def _renew(world: World) -> None:
    world.put_certificate("good")
    world.reload()


async def _kill(world: World) -> None:
    await world.service.kill()


async def _start(world: World) -> None:
    await world.service.start()
    await world.service.told("listening")


async def _stall(world: World) -> None:
    world.partner.is_slow = True
    await world.write_much(random.Random(world.seed), 30, 100_000)  # noqa: S311 - a story, not a secret


async def _read_on(world: World) -> None:
    world.partner.is_slow = False


SCENARIOS: Final = (
    Scenario(
        "text-lost",
        "the wikis have lost the text of new revisions",
        frozenset({"DeadLetters", "CompletenessBudgetBurn"}),
        growing("streamer_discarded_records_total", stage="enrich", reason="deadletter"),
        _faults(Fault("text_missing")),
        _clear_faults,
    ),
    Scenario(
        "source-cut",
        "upstream's stream answers 503",
        frozenset({"SourceStalled"}),
        unready("source"),
        _faults(Fault("status", where="stream", status=503), cuts=True),
        _clear_faults,
    ),
    Scenario(
        "api-refuses",
        "the wikis answer 429",
        frozenset({"OriginRefuses"}),
        growing("streamer_origin_requests_total", outcome="status_429"),
        _faults(Fault("status", status=429, retry_after_s=1)),
        _clear_faults,
    ),
    Scenario(
        "wikis-down",
        "the wikis reset every connection",
        frozenset({"OriginFails"}),
        above(0, "streamer_origin_failing_hosts"),
        _faults(Fault("reset")),
        _clear_faults,
    ),
    Scenario(
        "partner-slow",
        "a partner reads too slowly",
        frozenset({"SlowPartner", "PartnerBehindRetention"}),
        above(3, "streamer_partner_behind_seconds"),
        _stall,
        _read_on,
    ),
    Scenario(
        "disk-full",
        "the log's disk takes no more writes",
        frozenset({"LogFails"}),
        unready("log"),
        _refuse_writes,
        _allow_writes,
    ),
    Scenario(
        "partners-wrong",
        "somebody made a mistake in partners.toml",
        frozenset({"PartnersFileInvalid"}),
        above(0, "streamer_partners_file_invalid"),
        _spoil_partners,
        _mend_partners,
    ),
    Scenario(
        "settings-wrong",
        "somebody made a mistake in streamer.toml, and sent SIGHUP",
        frozenset({"ConfigReloadFailed"}),
        above(0, "streamer_config_reload_failed"),
        _spoil_settings,
        _mend_settings,
    ),
    Scenario(
        "certificate-old",
        "the certificate in force ends within a day",
        frozenset({"CertificateExpires"}),
        _ends_soon,
        _soon_over,
        _renew,
        needs_tls=True,
    ),
    Scenario(
        "killed",
        "the service was killed, and nobody starts it",
        frozenset({"ProcessDown"}),
        lambda _, samples: not samples,
        _kill,
        _start,
    ),
)
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
