"""The elements of documents on standard input, one JSON line each: {"kind": "html" or "markdown",
"text": ...} gives [[[tag, attributes], ...], text]. Markdown is rendered as GitHub renders it."""

import html.parser
import json
import sys

import cmarkgfm
from cmarkgfm.cmark import Options

EXTENSIONS = ["table", "autolink", "strikethrough", "tasklist"]


class Elements(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, attributes])

    def handle_endtag(self, tag):
        self.found.append(["/" + tag, []])

    def handle_comment(self, data):
        self.found.append(["!", data])

    def handle_data(self, data):
        self.texts.append(data)


for line in sys.stdin:
    document = json.loads(line)
    text = document["text"]
    if document["kind"] == "markdown":
        # Raw HTML is let through: what the site would filter out must not be there at all.
        unsafe = Options.CMARK_OPT_UNSAFE
        text = cmarkgfm.markdown_to_html_with_extensions(text, unsafe, EXTENSIONS)
    elements = Elements()
    elements.feed(text)
    elements.close()
    print(json.dumps([elements.found, "".join(elements.texts)]))
