"""lib.sh of the host's scripts, run in a folder, and shellcheck over all scripts."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.executor import apparmor as profiles
from infra.host import ssh
from infra.services import openbao

SCRIPTS = Path(ssh.__file__).parent / "scripts"
AGAIN = Path(openbao.__file__).with_name("again.sh")
CONCERNS = sorted(file.stem for file in SCRIPTS.glob("*.sh") if file.stem not in ("lib", "firewall"))
TEXT = "a line of the configuration\n" * 100
GIVE_BACK = 'give_back "$1"; echo "$given_back"'


def run(folder: Path, body: str, *arguments: str, limit: str = "") -> subprocess.CompletedProcess[str]:
    """Run lib.sh with a script whose `apply` has this body. It saves original files in `folder`."""
    lib = (SCRIPTS / "lib.sh").read_text()
    script = f'{lib}\nbefore={folder}/remembered/before\napply() {{\n{body}\n}}\n{limit}\n"$@" </dev/null\n'
    return subprocess.run(
        ["sh", "-s", "--", "apply", *arguments], input=script, capture_output=True, text=True, check=False
    )


def put(folder: Path, file: Path, text: str, limit: str = "") -> subprocess.CompletedProcess[str]:
    """Put a text into a file, from a pipe and from a here-document, then print "well"."""
    body = f"""printf '%s' "$2" | put "$1"\nput "$1" <<END\n{text}END\necho well"""
    return run(folder, body, str(file), text, limit=limit)


def test_a_file_is_replaced_and_restored(tmp_path: Path) -> None:
    file = tmp_path / "etc/one"
    file.parent.mkdir()
    file.write_text("before us\n")
    assert put(tmp_path, file, TEXT).stdout == "well\n"
    assert file.read_text() == TEXT
    assert run(tmp_path, GIVE_BACK, str(file)).stdout == "yes\n"
    assert file.read_text() == "before us\n"
    assert run(tmp_path, GIVE_BACK, str(file)).stdout == "no\n"
    assert [path.name for path in tmp_path.iterdir()] == ["etc"]


def test_a_file_that_did_not_exist_is_removed_again(tmp_path: Path) -> None:
    file = tmp_path / "etc/one"
    assert put(tmp_path, file, TEXT).returncode == 0
    assert run(tmp_path, GIVE_BACK, str(file)).stdout == "yes\n"
    assert list((tmp_path / "etc").iterdir()) == []


def test_a_file_with_the_same_content_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text(TEXT)
    inode = file.stat().st_ino
    assert put(tmp_path, file, TEXT).stdout == "well\n"
    assert file.stat().st_ino == inode
    assert run(tmp_path, GIVE_BACK, str(file)).stdout == "no\n"


def test_a_full_disk_fails_the_script_and_leaves_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text("before us\n")
    # No file may be longer than 512 bytes: writes fail as on a full disk.
    done = put(tmp_path, file, TEXT, limit="ulimit -f 1")
    assert done.returncode != 0
    assert "well" not in done.stdout
    assert file.read_text() == "before us\n"
    assert put(tmp_path, file, TEXT).stdout == "well\n"
    assert file.read_text() == TEXT


def test_a_file_whose_original_can_not_be_saved_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text("before us\n")
    (tmp_path / "remembered").write_text("a file where a folder is needed")
    assert put(tmp_path, file, TEXT).returncode != 0
    assert file.read_text() == "before us\n"


def test_a_file_that_can_not_be_restored_fails_the_script(tmp_path: Path) -> None:
    file = tmp_path / "etc/one"
    assert put(tmp_path, file, TEXT).returncode == 0
    file.unlink()
    (file / "a folder in its place").mkdir(parents=True)
    done = run(tmp_path, GIVE_BACK, str(file))
    assert (done.returncode, done.stdout) == (1, "")


def shellcheck(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("shellcheck")
    assert program, "shellcheck is not on PATH; `make test` installs it"
    return subprocess.run([program, *options, "-"], input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", sorted([*SCRIPTS.glob("*.sh"), AGAIN]), ids=lambda script: script.name)
def test_shellcheck_finds_nothing_in_a_script(script: Path) -> None:
    done = shellcheck(script.read_text())
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("concern", CONCERNS)
def test_no_function_is_called_where_set_e_is_off(concern: str) -> None:
    assert suppressed(ssh.script_text(concern)) == ""


def test_a_function_in_a_condition_is_found() -> None:
    assert "SC2310" in suppressed(f"{ssh.script_text('time')}\nif give_back one; then two; fi")


def suppressed(text: str) -> str:
    """Shellcheck's findings about functions that are called where `set -e` is off."""
    return shellcheck(text, "--shell=sh", "--enable=check-set-e-suppressed", "--include=SC2310").stdout


@pytest.fixture
def sysctl(tmp_path: Path) -> Callable[[str], list[str]]:
    """Runs `apply` or `undo` of sysctl.sh in a folder, with a `sysctl` that does nothing. Returns the files there."""
    folder = tmp_path / "etc/sysctl.d"
    folder.mkdir(parents=True)
    text = ssh.script_text("sysctl").replace("/etc/sysctl.d", str(folder)).replace("/var/lib/vps", f"{tmp_path}/vps")

    def run(verb: str) -> list[str]:
        subprocess.run(["sh", "-s", "--", verb], input=f"sysctl() {{ :; }}\n{text}", text=True, check=True)
        return sorted(path.name for path in folder.iterdir())

    return run


def test_the_kernel_parameters_are_read_after_those_of_debian(sysctl: Callable[[str], list[str]]) -> None:
    (name,) = sysctl("apply")
    assert name > "99-protect-links.conf"
    assert sysctl("undo") == []


def test_the_kernel_parameters_of_an_earlier_version_are_renamed(
    sysctl: Callable[[str], list[str]], tmp_path: Path
) -> None:
    former = tmp_path / "etc/sysctl.d/90-vps.conf"
    former.write_text("kernel.panic = 10\n")
    mark = tmp_path / f"vps/before{former}.none"
    mark.parent.mkdir(parents=True)
    mark.touch()
    assert sysctl("apply") == ["99-vps.conf"]
    assert sysctl("undo") == []
    assert list((tmp_path / "vps").rglob("*.none")) == []


@pytest.fixture
def apparmor(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs apparmor.sh in a folder, whose file `loaded` is the kernel's list. Returns the calls of apparmor_parser."""
    text = (
        ssh.script_text("apparmor").replace("/etc/apparmor.d", f"{tmp_path}/etc").replace("/var/lib/vps", str(tmp_path))
    )
    text = text.replace("/sys/kernel/security/apparmor/profiles", f"{tmp_path}/loaded")
    fake = f'apparmor_parser() {{ echo "$@" >>{tmp_path}/calls; }}\n'

    def run(*arguments: str) -> list[str]:
        (tmp_path / "calls").write_text("")
        script = text.replace("# need PACKAGE", f"{fake}\n# need PACKAGE").replace(
            '\n"$@" <', '\nneed() { :; }\n"$@" <'
        )
        subprocess.run(["sh", "-s", "--", *arguments], input=script, text=True, check=True, capture_output=True)
        return (tmp_path / "calls").read_text().replace(f"{tmp_path}/etc/", "").splitlines()

    return run


def test_a_kernel_without_apparmor_is_left_as_it_is(apparmor: Callable[..., list[str]], tmp_path: Path) -> None:
    assert apparmor("apply", "one", "two") == []
    assert apparmor("undo") == []
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("knows_user_namespaces", [True, False])
def test_the_profiles_of_apparmor_are_loaded_and_removed(
    apparmor: Callable[..., list[str]], tmp_path: Path, knows_user_namespaces: bool
) -> None:
    (tmp_path / "loaded").write_text("vps-executor (enforce)\nvps-sandbox-2 (enforce)\n")
    (tmp_path / "etc/abi").mkdir(parents=True)
    if knows_user_namespaces:
        (tmp_path / "etc/abi/4.0").touch()
    assert apparmor("apply", "one", "two") == ["--replace vps-executor vps-sandbox"]
    assert (tmp_path / "etc/vps-executor").read_text() == "one\n"
    assert (tmp_path / "etc/local/vps-executor").exists() is knows_user_namespaces
    # apparmor_parser refuses to remove a profile that is not loaded.
    assert apparmor("undo") == ["--remove vps-executor"]
    assert not list((tmp_path / "etc").rglob("vps-*"))


@pytest.mark.parametrize("name", [profiles.EXECUTOR, profiles.SANDBOX])
def test_the_profiles_of_apparmor_have_the_names_that_the_program_uses(name: str) -> None:
    (header,) = re.findall(r"^profile (\S+) flags=", (SCRIPTS.parent / "apparmor" / name).read_text(), re.MULTILINE)
    assert header == name
