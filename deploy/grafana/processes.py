"""The processes themselves: whether they are there, and with what configuration."""

from typing import Final

from deploy.grafana.panels import (
    COUNT,
    COUNTS_PER_SECOND,
    SECONDS,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promql import age, each_second, most, of, quantile, so_far, total

LATE_LOOP_S: Final = 0.5
"""A loop that lags so is felt by all its clients."""

PROCESSES: Final = Row(
    "Processes",
    [
        Plot(
            title="Up",
            says="1 while Prometheus can scrape it. 0: it is down, or its admin port cannot be reached.",
            alerts=["ProcessDown"],
            unit=COUNT,
            lines=[Line(of("up"), "{{instance}}")],
            top=1.0,
            width=6,
        ),
        Plot(
            title="Running for",
            says="How long ago each process began. One that falls to 0 again and again ends by a fault, or is"
            " ended: its last log lines say why.",
            alerts=["ProcessRestarts"],
            unit=SECONDS,
            lines=[Line(f"time() - {of('streamer_process_start_timestamp_seconds')}", "{{instance}}")],
            width=6,
        ),
        Plot(
            title="Event loop: how late a timer fires",
            says="The 99th percentile, by process. Above half a second for long: it has too much to do.",
            alerts=["EventLoopLag"],
            unit=SECONDS,
            lines=[Line(quantile(0.99, "streamer_event_loop_lag_seconds", by="instance"), "{{instance}}")],
            limit=Limit(LATE_LOOP_S),
            width=6,
        ),
        Plot(
            title="Versions",
            says="Processes by the version that they run. Two for more than an upgrade takes: one hangs.",
            unit=COUNT,
            lines=[Line(f"count by (version) ({of('streamer_build_info')})", "{{version}}")],
            stacked=True,
            width=6,
        ),
        Plot(
            title="Components that are ready, by process",
            says="0 while /readyz of that process says why the component isn't.",
            alerts=["LogFails", "SourceStalled", "ProcessDown"],
            unit=COUNT,
            lines=[Line(of("streamer_component_ready"), "{{component}} at {{instance}}")],
            top=1.0,
        ),
        Plot(
            title="Configuration that is not in force",
            says="A wrong streamer.toml or partners.toml changes nothing, and what was there before"
            " stays in force. Settings that wait for a restart are none of the faults.",
            alerts=["ConfigReloadFailed", "PartnersFileInvalid"],
            unit=COUNT,
            lines=[
                Line(total("streamer_config_reload_failed"), "streamer.toml is wrong"),
                Line(total("streamer_partners_file_invalid"), "partners.toml is wrong"),
                Line(most("streamer_config_restart_needed_settings"), "settings that wait for a restart"),
            ],
        ),
        Plot(
            title="Configuration read",
            says="How long ago streamer.toml was last read without a mistake, of the process that did first.",
            alerts=["ConfigReloadFailed"],
            unit=SECONDS,
            lines=[Line(age("streamer_config_loaded_timestamp_seconds"), "longest ago")],
        ),
        Plot(
            title="Changes of partners.toml since the processes began",
            says="By result. invalid: somebody made a mistake, and the rules before it are in force.",
            alerts=["PartnersFileInvalid"],
            unit=COUNT,
            lines=[Line(so_far("streamer_partners_reloads_total", by="result"), "{{result}}")],
            empty="None.",
        ),
        Plot(
            title="Certificates: time left",
            says="Of TLS in the process itself. Renew the file and send SIGHUP: nobody is disconnected.",
            alerts=["CertificateExpires"],
            unit=SECONDS,
            lines=[
                Line(
                    f"({of('streamer_deliver_certificate_expiry_timestamp_seconds')} > 0) - time()",
                    "{{instance}}",
                )
            ],
            limit=Limit(14 * 86_400.0, bad="below"),
            empty="No TLS in these processes: a proxy has the certificates.",
        ),
        Plot(
            title="Spans of traces",
            says="Where a collector is set. full, refused: it takes too few, and traces have holes;"
            " edits do not.",
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(each_second("streamer_tracing_exported_spans_total"), "exported"),
                Line(each_second("streamer_tracing_dropped_spans_total", by="reason"), "dropped: {{reason}}"),
            ],
        ),
        Plot(
            title="Queues, by process",
            says="Each is bounded, and who fills it waits. One that stays full: what empties it is too slow.",
            alerts=["EnrichStalled", "LogFails"],
            unit=COUNT,
            lines=[
                Line(
                    f"topk(20, {total('streamer_queue_depth', by='queue,instance')})",
                    "{{queue}} at {{instance}}",
                )
            ],
            width=24,
        ),
    ],
)
