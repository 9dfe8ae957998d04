"""Cut GitHub's OpenAPI description to the paths greengate speaks to.

    npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
    python tests/github/trim.py package/generated/api.github.com.json

The description is GitHub's, under the MIT licence; what is cut out of it lies beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PATHS = {
    "/user": ["get"],
    "/repos/{owner}/{repo}/issues/{issue_number}/comments": ["get", "post"],
    "/repos/{owner}/{repo}/issues/comments/{comment_id}": ["patch", "delete"],
    "/repos/{owner}/{repo}/pulls/{pull_number}": ["get"],
    "/repos/{owner}/{repo}/statuses/{sha}": ["post"],
}
#: What no validation needs, and what is most of the bytes.
PROSE = ("description", "example", "examples", "x-github", "externalDocs", "summary", "title", "tags")


def without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        named = "properties" in value or "type" in value or "schema" in value or "operationId" in value
        kept = {key: item for key, item in value.items() if not (key in PROSE and (named or key != "title"))}
        if isinstance(value.get("properties"), dict):
            kept["properties"] = {key: without_prose(item) for key, item in value["properties"].items()}
        return {key: item if key == "properties" else without_prose(item) for key, item in kept.items()}
    return [without_prose(item) for item in value] if isinstance(value, list) else value


def resolved(value: Any, whole: dict[str, Any], depth: int = 0) -> Any:
    """Put what a $ref names in its place; what stands very deep is left open."""
    if isinstance(value, dict):
        if "$ref" in value:
            if depth > 12:
                return {}
            found: Any = whole
            for part in value["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return resolved(found, whole, depth + 1)
        return {key: resolved(item, whole, depth) for key, item in value.items()}
    return [resolved(item, whole, depth) for item in value] if isinstance(value, list) else value


def main() -> None:
    whole = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    kept = {}
    for path, methods in PATHS.items():
        item = whole["paths"][path]
        kept[path] = {method: without_prose(resolved(item[method], whole)) for method in methods}
        for method in methods:
            answers = kept[path][method]["responses"]
            kept[path][method]["responses"] = {code: answers[code] for code in answers if code.startswith("2")}
    target = Path(__file__).parent / "openapi.json"
    told = {"openapi": whole["openapi"], "info": {"title": "GitHub", "version": whole["info"]["version"]}}
    target.write_text(json.dumps(told | {"paths": kept}, separators=(",", ":")) + "\n", "utf-8")
    print(f"{target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
