"""site_links.py FOLDER: lets links of the site in FOLDER that leave docs/ lead to the repository, and checks all others."""

import html
import pathlib
import re
import sys

LINK = re.compile(r'(href|src)="([^"]+)"')
FOREIGN = re.compile(r"(https?:|mailto:|data:|javascript:)")


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    sources = pathlib.Path("docs").resolve()
    toml = pathlib.Path("book.toml").read_text(encoding="utf-8")
    repository = re.search(r'git-repository-url = "([^"]+)"', toml)[1]
    pages = {page: page.read_text(encoding="utf-8") for page in root.rglob("*.html")}
    identifiers = {page: set(re.findall(r'id="([^"]+)"', text)) for page, text in pages.items()}
    broken, checked = [], 0
    for page, text in pages.items():

        def led(match, page=page):
            """The link as it should be."""
            nonlocal checked
            kind, target = match[1], html.unescape(match[2])
            path, _, fragment = target.partition("#")
            if FOREIGN.match(target):
                return match[0]
            checked += 1
            # mdBook writes a README as the index of its folder.
            if path.endswith("README.html"):
                return f'{kind}="{path.removesuffix("README.html")}index.html{match[2][len(path):]}"'
            goal = (page.parent / path).resolve() if path else page
            if not goal.is_relative_to(root):
                # The same way from the page's source leads to a file of the repository.
                here = sources / page.relative_to(root).parent
                file = (here / path).resolve().relative_to(sources.parent)
                for name in (file, file.with_suffix(".md")):
                    if (sources.parent / name).exists():
                        return f'{kind}="{repository}/blob/main/{name}{match[2][len(path):]}"'
                broken.append(f"{page.relative_to(root)}: {target}")
            elif not goal.exists() or (fragment and goal in identifiers and fragment not in identifiers[goal]):
                broken.append(f"{page.relative_to(root)}: {target}")
            return match[0]

        # The page for wrong addresses and the one of all chapters for the printer take links from elsewhere.
        if page.name not in ("404.html", "print.html"):
            page.write_text(LINK.sub(led, text), encoding="utf-8")
    print(f"site: {len(pages)} pages, {checked} links, {len(broken)} broken")
    print("\n".join(broken))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
