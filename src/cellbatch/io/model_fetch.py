"""Fetching weights from the DeepCell users' site, with the user's own token."""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from cellbatch.errors import ConfigError, EngineError, InputError
from cellbatch.io.atomic import atomic_path
from cellbatch.io.model_archives import hash_md5
from cellbatch.spec import ArchiveSource

logger = logging.getLogger(__name__)

SITE = "https://users.deepcell.org"
TOKEN = "DEEPCELL_ACCESS_TOKEN"
ATTEMPTS = 3
PAUSE_S = 2.0
TIMEOUT_S = 60
REFUSED = (401, 403)
# what a later attempt may not meet again
PASSING = (OSError, http.client.HTTPException, TimeoutError)


class _SameSite(urllib.request.HTTPRedirectHandler):
    """A request that carries the token goes to the site that was named and nowhere else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Ask again, with the same body, at another address of the same site."""
        if _origin(newurl) != _origin(req.full_url):
            return None
        return urllib.request.Request(newurl, data=req.data, headers=dict(req.header_items()))


def fetch_archive(
    archive: ArchiveSource, token: str, target: Path, *, site: str = SITE, pause_s: float = PAUSE_S
) -> Path:
    """Fetch an archive and prove that it is the one named.

    The site is asked with the token for an address, from which the file then comes without the token. Nothing that is
    logged or raised holds the token or that address.

    Parameters
    ----------
    archive : key and MD5
    token : of the user's account
    target : file to write; complete and right, or absent
    site : base address
    pause_s : seconds before the second attempt; each further one waits twice as long

    Raises
    ------
    ConfigError
        If there is no token, or the site refuses it.
    InputError
        If the file that came has another MD5.
    EngineError
        If the site cannot be reached or the download breaks off, several times.
    OSError
        If the system refuses to write the file; it names the file.
    """
    if archive.key and not token:
        raise ConfigError(
            f"the weights {archive.key} are fetched from {site} with a token of your own, but {TOKEN} is not set; make "
            f"an account there, then: export {TOKEN}=…, or give the archive's or the prepared model's path as --model"
        )
    place = urllib.parse.urlsplit(archive.url).netloc or site
    for attempt in range(1, ATTEMPTS + 1):
        try:
            address = _ask_address(archive.key, token, site) if archive.key else archive.url
            with atomic_path(target) as temporary:
                _download(address, temporary)
                _check(archive, temporary)
            return target
        except PASSING as error:
            # a full disk is no fault of the network: no other attempt mends it
            if isinstance(error, OSError) and error.filename == str(target):
                raise
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = _reason(error)
            logger.warning("attempt %d of %d to fetch %s failed: %s", attempt, ATTEMPTS, archive.name, reason)
            if attempt == ATTEMPTS:
                raise EngineError(
                    f"{archive.name}: could not be fetched from {place} in {ATTEMPTS} attempts ({reason}); "
                    "try again later, or fetch it by hand and give its path as --model"
                ) from None
            time.sleep(pause_s * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _ask_address(key: str, token: str, site: str) -> str:
    """Address of the download."""
    body = urllib.parse.urlencode({"s3_key": key}).encode()
    try:
        request = urllib.request.Request(f"{site}/api/getData", data=body, headers={"X-Api-Key": token})
        with urllib.request.build_opener(_SameSite).open(request, timeout=TIMEOUT_S) as answer:
            address = json.loads(answer.read())["url"]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in REFUSED:
            raise ConfigError(
                f"{site} refused the token (HTTP {error.code}); check {TOKEN}: it may be mistyped or have expired"
            ) from None
        raise
    except (TypeError, KeyError, ValueError) as error:
        # also a token with characters that no header may hold; the error's own text would show it
        raise ConfigError(
            f"{site} did not answer with the address of {key} ({type(error).__name__}); check {TOKEN} for stray "
            "characters, or fetch the archive by hand and give its path as --model"
        ) from None
    if urllib.parse.urlsplit(str(address)).scheme not in ("https", urllib.parse.urlsplit(site).scheme):
        raise InputError(f"{site} answered with an address that is not https; fetch the archive by hand")
    return str(address)


def _origin(address: str) -> tuple[str, str]:
    """Scheme and host."""
    parts = urllib.parse.urlsplit(address)
    return parts.scheme, parts.netloc


def _download(address: str, target: Path) -> None:
    """Write what the address gives; fewer bytes than announced are an error."""
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer, target.open("wb") as sink:
        shutil.copyfileobj(answer, sink, 1 << 20)
        announced = answer.headers.get("Content-Length")
    if announced is not None and target.stat().st_size != int(announced):
        raise http.client.IncompleteRead(b"", int(announced) - target.stat().st_size)


def _check(archive: ArchiveSource, path: Path) -> None:
    """Compare the MD5."""
    found = hash_md5(path)
    if found != archive.md5:
        raise InputError(
            f"{archive.name}: what was sent has md5 {found}, but {archive.md5} was expected; it is damaged or another "
            "version: try again, or give a file that you trust as --model, with a manifest beside it"
        )


def _reason(error: BaseException) -> str:
    """Say what went wrong without the address, which is as good as a key."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    if isinstance(error, http.client.IncompleteRead):
        return "the download broke off"
    return type(error).__name__
