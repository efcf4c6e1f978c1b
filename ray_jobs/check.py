"""`expclip check TABLE`: is a table as its schema says, and what is in it; on the screen and as a page.

Takes the folder or file of CLIPS, TRACKS, EXPRESSIONS, TEAD (as table or lines), ANIMATIONS or a table of errors, or a
folder that holds several of them. Runs in this process and changes nothing.
"""

from dataclasses import dataclass
from typing import Any

from expclip import storage
from expclip.errors import BadRequestError


@dataclass(frozen=True)
class Config:
    """What to look at, and where to write the page."""

    path: str  # folder or file of a table, or a folder with several; local or s3://
    report: str = ""  # .html to write; empty: none
    samples: int = 12  # faces of each table on the page


def run(config: Config) -> dict[str, Any]:
    """Print what is found and write the page; return how many problems there are (`failed`)."""
    from expclip import check

    if config.report and not config.report.lower().endswith(".html"):
        raise BadRequestError(f"{config.report}: unknown suffix of a report; valid: .html")
    if config.samples < 0:
        raise BadRequestError(f"samples {config.samples} is less than 0")
    findings = check.check(config.path, samples=config.samples)
    print("\n\n".join(check.readable(finding) for finding in findings), flush=True)
    if config.report:
        from expclip import report

        storage.write_bytes(config.report, report.page(findings, config.path).encode())
        print(f"\n{config.report}", flush=True)
    return {"tables": len(findings), "failed": sum(finding.count for finding in findings)}
