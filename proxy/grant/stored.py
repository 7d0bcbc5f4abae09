"""The access token as the file store has it: without lease, network, asyncio or encryption.

For a command that is done if it is still good (asyncio takes 50 ms to import). Every other case is
for the account to judge and to explain.
"""

from pathlib import Path

from proxy.config import Config
from proxy.errors import StoreError
from proxy.grant.bound import binding_of
from proxy.grant.live import Credential, Live
from proxy.grant.stores import folder as files
from proxy.grant.stores.record import MAX_RECORD, PlainCodec, RecordError
from proxy.system.clock import Clock


def stored_credential(
    config: Config, name: str, clock: Clock, state_folder: Path, seconds: float | None
) -> Credential | None:
    """Return the credential of account `name` if it is valid for so many seconds more, else None.

    `seconds` None: as long as a running proxy would use it before it refreshes ahead.
    """
    account, tokens = config.accounts[name], config.tokens
    if account.kind != "authorization_code" or tokens.store != "file" or tokens.encryption_keys:
        return None
    folder = (tokens.path or state_folder).absolute() / files.SUBFOLDER
    try:
        data = files.read(folder, f"{name}.json", MAX_RECORD)
        record = PlainCodec().unseal(name, data) if data is not None else None
    except (StoreError, RecordError):
        return None
    if record is None or record.ended or record.bound != binding_of(config, account.oauth):
        return None
    live = Live(clock, tokens.refresh_margin, tokens.idle_refresh)
    live.adopt(record)
    wanted = live.usual_left() if seconds is None else seconds
    return live.credential if live.usable() and live.left() >= wanted else None
