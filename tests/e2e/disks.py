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
            image = os.path.join(folder, "image")
            with open(image, "wb") as f:
                f.truncate(mib << 20)
            done = command("mkfs.ext4", "-q", "-m", "0", image)
            if done.returncode == 0:
                done = command("mount", "-o", "loop", image, self.path)
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

    def remount(self, how):
        done = command("mount", "-o", f"remount,{how}", self.path)
        assert done.returncode == 0, done.stderr

    def close(self):
        if command("umount", self.path).returncode != 0:
            command("umount", "-l", self.path)
