"""partners.toml out of a Secret, as a kubelet mounts one."""

import asyncio
import os
from pathlib import Path

from streamer.partners import PartnersWatch, hash_key


def mount(folder: Path, generation: str, text: str) -> None:
    """A directory of its own, and a link to it that changes in one step; the file is a link for ever."""
    (folder / generation).mkdir(parents=True)
    (folder / generation / "partners.toml").write_text(text)
    (folder / "..data_tmp").symlink_to(generation)
    os.replace(folder / "..data_tmp", folder / "..data")  # noqa: PTH105 - rename(2), as the kubelet does
    if not (folder / "partners.toml").is_symlink():
        (folder / "partners.toml").symlink_to("..data/partners.toml")


async def test_a_secret_that_changes_is_read_again(tmp_path: Path) -> None:
    """The links lead elsewhere, nothing was written to the file: the new one is there, the old one gone."""
    mount(tmp_path, "..1", f'[acme]\nkeys = ["{hash_key("wrs_of_acme")}"]\n')
    watch = PartnersWatch(tmp_path / "partners.toml", poll_s=0.02)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        assert set(watch.current) == {"acme"}
        generation = watch.generation
        mount(tmp_path, "..2", f'[beta]\nkeys = ["{hash_key("wrs_of_beta")}"]\n')
        await watch.changed(generation)
        assert set(watch.current) == {"beta"}
        task.cancel()
