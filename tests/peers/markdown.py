"""Renders Markdown as GitHub does: a JSON text a line in, a JSON object of what is shown out."""

import html.parser
import json
import sys

import cmarkgfm
from cmarkgfm.cmark import Options


class Page(html.parser.HTMLParser):
    """The elements of a page, its tables, and its text inside and outside of code."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.tables = {}, set(), []
        self.text, self.loose, self.code, self.odd = "", "", 0, []

    def handle_starttag(self, tag, attrs):
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.attributes.update(name for name, _ in attrs)
        self.code += tag in ("code", "pre")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.code -= tag in ("code", "pre")
        if tag == "table":
            self.cell = False

    cell = False

    def handle_data(self, data):
        self.text += data
        if not self.code:
            self.loose += data
        if self.cell and self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data.rstrip("\n")

    def handle_comment(self, data):
        self.odd.append(data)

    def handle_decl(self, decl):
        self.odd.append(decl)


for line in sys.stdin:
    page = Page()
    # What GitHub reads before it takes out what it does not want.
    page.feed(cmarkgfm.github_flavored_markdown_to_html(json.loads(line), Options.CMARK_OPT_UNSAFE))
    shown = {key: getattr(page, key) for key in ("elements", "tables", "text", "loose", "odd")}
    print(json.dumps({**shown, "attributes": sorted(page.attributes)}))
