"""`corpus verify`: rows at random against their wikis.

Exit 1 where one shows what its wiki no longer does.
"""

import argparse
import random
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from consumers import wiki
from consumers.corpus.asked import site_of
from consumers.corpus.progress import known, site_name
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.corpus.verify import Finding, Report, Verifier, WikiReport, ages_of, drawn, server_of, shares
from consumers.errors import UsageError

HELP: Final = "hold rows drawn at random against their wikis, as a dated report"
REQUESTS: Final = 60


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--requests",
        type=int,
        default=REQUESTS,
        metavar="N",
        help="to all wikis together (default: %(default)s)",
    )
    add("--seed", type=int, metavar="N", help="draws the same rows again (default: another each time)")
    add("--wiki", metavar="NAME", help="of this wiki only, e.g. enwiki")
    add("--repair", action="store_true", help="put what the wikis say into the corpus where it differs")
    add(
        "--keep",
        choices=("wikitext", "text"),
        default="wikitext",
        help="with --repair (default: %(default)s)",
    )
    add("--json", action="store_true", help="print the report as JSON")
    add("--report", type=Path, metavar="FILE", help="write it there too, as JSON")
    wiki.arguments(parser)


def run(options: argparse.Namespace) -> int:
    if options.requests < 1:
        raise UsageError("--requests: a number above 0")
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    now = datetime.now(UTC)
    reports: list[WikiReport] = []
    findings: list[Finding] = []
    requests = 0
    with State(options.corpus) as state:
        rows = drawn(state, random.Random(seed), options.requests)  # noqa: S311  # a sample, no secret
        if options.wiki:
            rows = {options.wiki: rows.get(options.wiki, [])}
        for name, share in shares(options.requests, rows).items():
            site = known(state, site_name(name), Site) or Site(name, server_of(rows[name]))
            with wiki.opened(options, site.server, site.script_path) as asked:
                verifier = Verifier(
                    state,
                    asked,
                    site_of(asked),
                    now,
                    repair=options.repair,
                    keep_wikitext=options.keep == "wikitext",
                )
                verifier.verify(rows[name], max(1, share - 1))
                requests += asked.requests
            reports.append(verifier.report)
            findings += verifier.findings
    withdrawn = sum(finding.what == "withdrawn" for finding in findings)
    report = Report(now.isoformat(), seed, requests, reports, withdrawn, ages_of(findings), findings)
    text = msgspec.json.format(msgspec.json.encode(report))
    if options.report:
        try:
            options.report.write_bytes(text)
        except OSError as error:
            raise UsageError(f"--report {options.report}: {error.strerror}") from None
    print(text.decode() if options.json else readable(report))
    return 1 if withdrawn else 0


def readable(report: Report) -> str:
    lines = [f"{report.date}  seed {report.seed}, {report.requests} requests"]
    for one in report.wikis:
        total = sum(one.rows.values())
        share = "none" if one.share_same is None else f"{one.share_same:.2%}"
        others = ", ".join(f"{count} {what}" for what, count in sorted(one.rows.items()) if what != "same")
        lines.append(f"{one.wiki}: {total} rows, identical {share}{f' ({others})' if others else ''}")
        lines.append(
            f"  of {one.pages_drawn} pages drawn by the wiki {one.pages_missing} are missing;"
            f" of {one.recent} edited last {one.recent_behind} are behind"
        )
        if one.repaired:
            lines.append(f"  repaired: {one.repaired}")
    if report.ages.count:
        ages = report.ages
        lines.append(f"behind for {ages.p50:.0f} s (p50), {ages.p90:.0f} s (p90), {ages.most:.0f} s at most")
    lines.append(
        f"WITHDRAWN ROWS: {report.withdrawn}" if report.withdrawn else "no row shows what its wiki withdrew"
    )
    lines += [
        f"  {one.wiki} page {one.page}: {one.what} (revision {one.ours} here, {one.theirs} there)"
        for one in report.findings
    ]
    return "\n".join(lines)
