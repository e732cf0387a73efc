"""conda_recipe.py META.YAML VERSION: renders a conda recipe as conda-build does for 64-bit Linux, and checks what it says."""

import pathlib
import re
import sys

import jinja2
import yaml

SELECTOR = re.compile(r"^(.*?)\s*#\s*\[(.+)\]\s*$")
PLATFORM = {"linux": True, "linux64": True, "unix": True, "osx": False, "win": False, "aarch64": False}
REQUIRED = {"package": ["name", "version"], "build": ["number"], "test": ["commands"], "about": ["license", "summary", "home"]}


def chosen(text):
    """Lines whose selector holds on 64-bit Linux."""
    for line in text.splitlines():
        found = SELECTOR.match(line)
        if not found:
            yield line
        elif eval(found[2], {"__builtins__": {}}, PLATFORM):
            yield found[1]


def main(path, version):
    path = pathlib.Path(path)
    functions = {"compiler": lambda language: f"{language}_linux-64"}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    text = "\n".join(chosen(path.read_text(encoding="utf-8")))
    recipe = yaml.safe_load(environment.from_string(text).render(functions))
    missing = [f"{s}: {k}" for s, keys in REQUIRED.items() for k in keys if k not in recipe.get(s, {})]
    if missing:
        sys.exit(f"{path} lacks {', '.join(missing)}")
    if recipe["package"]["version"] != version:
        sys.exit(f"{path} is for version {recipe['package']['version']}, the programs are {version}")
    source = (path.parent / recipe["source"]["path"]).resolve()
    files = recipe["about"].get("license_file", [])
    lacking = [name for name in files + ["Cargo.toml", "scripts/install.sh"] if not (source / name).exists()]
    if lacking:
        sys.exit(f"{source}, the source of {path}, lacks {', '.join(lacking)}")
    if recipe["build"].get("skip"):
        sys.exit(f"{path} is skipped on 64-bit Linux")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
