"""Writes a case's page to a file that only its owner can read, as HTML or as PDF."""

from __future__ import annotations

from pathlib import Path

from exchange import private
from exchange.connect.extras import extra
from exchange.errors import ConfigError

SUFFIXES = (".html", ".pdf")


class ReportFileError(ConfigError):
    """The page of a case cannot be written to that file."""

    code = "case-report"
    remedy = "name a file in a folder that is there, and in which you may write"


def write(path: Path, html: str) -> None:
    """Write the page; as PDF if the file's name ends in .pdf. Raises ReportFileError, or MissingExtraError."""
    data = html.encode() if path.suffix == ".html" else pdf(html)
    try:
        private.write(path, data)
    except OSError as error:
        raise ReportFileError(f"{path} cannot be written: {error.strerror}") from error


def pdf(html: str) -> bytes:
    """The page as PDF, by WeasyPrint; raises MissingExtraError, or ReportFileError if the system lacks Pango."""
    try:
        weasyprint = extra("weasyprint", "report")
    except OSError as error:  # of the library that lays out text, which pip does not install
        raise ReportFileError(
            "PDF needs Pango, a library of the system, which cannot be loaded",
            remedy="apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-noto-cjk, brew "
            "install pango; a file that ends in .html needs no more",
        ) from error
    document: bytes = weasyprint.HTML(string=html).write_pdf()
    return document
