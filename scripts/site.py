"""A hook of mkdocs: links from docs/ to the rest of the repository become links to its files, by the name of its module."""
import os
import re

OUTSIDE = re.compile(r"\]\((?:\.\./)+((?!docs/)[A-Za-z][^)]*)\)")


def on_page_markdown(markdown, page, config, files):
    with open(os.path.join(os.path.dirname(config["docs_dir"]), "go.mod")) as module:
        repository = "https://" + module.readline().split()[1]
    pages = {f.src_path for f in files}

    def link(found):
        target = os.path.normpath(os.path.join(os.path.dirname(page.file.src_path), found.group(0)[2:-1].split("#")[0]))
        if not target.startswith("..") or target in pages:
            return found.group(0)
        return "](%s/tree/main/%s)" % (repository, target.lstrip("./"))

    return OUTSIDE.sub(link, markdown)
