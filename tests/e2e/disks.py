# SPDX-License-Identifier: Apache-2.0
"""Small file systems of a test's own, to be filled to the last byte and made read-only."""
import os
import subprocess

import pytest


def command(*args):
    return subprocess.run(args, capture_output=True, text=True, timeout=30)


class Disk:
    def __init__(self, kind, folder, mib):
        """Skips the test where nothing can be mounted."""
        self.path = os.path.join(folder, "data")
        self.ballast = os.path.join(self.path, "ballast")
        os.makedirs(self.path)
        if os.geteuid() != 0:
            pytest.skip("only root may mount")
        done = command("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", self.path)
        if kind == "ext4" and done.returncode == 0:
            command("umount", self.path)
            self.image = os.path.join(folder, "image")
            with open(self.image, "wb") as f:
                f.truncate(mib << 20)
            done = command("mkfs.ext4", "-q", "-m", "0", "-e", "remount-ro", self.image)
            if done.returncode == 0:
                done = self.mount()
        if done.returncode != 0:
            pytest.skip(f"cannot mount {kind}: {done.stderr.strip()}")

    def fill(self):
        """Another file takes all that is left."""
        with open(self.ballast, "ab") as f:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        f.write(bytes(size))
                        f.flush()
                except OSError:
                    pass
            try:
                f.close()
            except OSError:
                pass
        os.sync()
        return os.statvfs(self.path).f_bavail

    def free(self):
        os.unlink(self.ballast)

    def mount(self):
        return command("mount", "-o", "loop", self.image, self.path)

    def fail(self):
        """ext4 finds an error, and is read-only from then on."""
        with open("/proc/mounts") as f:
            device = next(line.split()[0] for line in f if line.split()[1] == self.path)
        trigger = f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error"
        if not os.access(trigger, os.W_OK):
            pytest.skip(f"cannot write to {trigger}")
        with open(trigger, "w") as f:
            f.write("a test")

    def mount_again(self):
        assert command("umount", self.path).returncode == 0
        assert self.mount().returncode == 0

    def close(self):
        if command("umount", self.path).returncode != 0:
            command("umount", "-l", self.path)
