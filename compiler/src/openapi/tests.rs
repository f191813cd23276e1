use serde_json::json;

use super::*;

/// A document of version 3.1 with these paths and schemas.
fn document(paths: &Json, schemas: &Json) -> Document {
    let text = json!({
        "openapi": "3.1.0", "info": {"title": "Shop"}, "servers": [{"url": "https://shop.example/v1/"}],
        "paths": paths, "components": {"schemas": schemas},
    });
    read(&text.to_string()).unwrap()
}

fn body(schema: &Json) -> Json {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

/// The schema of the body of the one route.
fn converted(version: &str, schema: &Json, schemas: &Json) -> Json {
    let text = json!({
        "openapi": version, "paths": {"/a": {"post": {"requestBody": body(schema)}}},
        "components": {"schemas": schemas},
    });
    let document = read(&text.to_string()).unwrap();
    assert_eq!(document.left_out, []);
    document.routes["POST /a"]["input"].clone()
}

#[test]
fn parameters_are_texts_and_closed() {
    let found = document(
        &json!({"/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}],
            "get": {"operationId": "getPet", "parameters": [
                {"name": "full", "in": "query", "schema": {"type": "boolean"}},
                {"name": "sort", "in": "query", "required": true, "schema": {"enum": ["a", 1, null]}},
                {"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                {"name": "at", "in": "query", "schema": {"type": "string", "format": "date"}},
                {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                {"name": "session", "in": "cookie", "schema": {"type": "string"}},
            ]},
        }}),
        &json!({}),
    );
    assert_eq!(found.upstream.as_deref(), Some("https://shop.example/v1"));
    let expected = json!({
        "type": "object", "additionalProperties": false, "required": ["path", "query"],
        "properties": {
            "path": {"type": "object", "additionalProperties": false, "required": ["id"],
                "properties": {"id": {"type": "string", "pattern": "^-?[0-9]+$"}}},
            "query": {"type": "object", "additionalProperties": false, "required": ["sort"],
                "properties": {
                    "full": {"type": "string", "enum": ["true", "false"]},
                    "sort": {"type": "string", "enum": ["1", "a"]},
                    "tag": {"type": "string"},
                    "at": {"type": "string", "format": "date"},
                }},
        },
    });
    assert_eq!(found.routes["GET /pets/{id}"]["input"], expected);
    let notes: Vec<&str> = found.notes.keys().map(String::as_str).collect();
    let told = [
        "a list in a query",
        "cookies are",
        "headers are",
        "the query's `filter`",
    ];
    for (note, begins) in notes.iter().zip(told) {
        assert!(note.starts_with(begins), "{notes:?}");
    }
    assert_eq!(notes.len(), told.len(), "{notes:?}");
}

#[test]
fn a_schema_that_is_named_once_stands_there_and_a_cycle_under_defs() {
    let node = json!({"type": "object", "properties": {
        "next": {"$ref": "#/components/schemas/node"}, "at": {"$ref": "#/components/schemas/place"}}});
    let schemas = json!({"node": node, "place": {"type": "string", "title": "A place"}});
    let input = converted(
        "3.1.0",
        &json!({"$ref": "#/components/schemas/node"}),
        &schemas,
    );
    assert_eq!(input["properties"]["body"], json!({"$ref": "#/$defs/node"}));
    let expected = json!({"node": {"type": "object", "properties": {
        "next": {"$ref": "#/$defs/node"}, "at": {"type": "string"}}}});
    assert_eq!(input["$defs"], expected);
    assert!(resolve::locked_is_enforceable(&input).is_ok());
}

#[test]
fn the_dialect_of_version_3_0_is_translated() {
    let cases = [
        (
            json!({"type": "string", "nullable": true}),
            json!({"type": ["string", "null"]}),
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true, "format": "int64"}),
            json!({"type": "integer", "exclusiveMinimum": 1}),
        ),
        (
            json!({"type": "integer", "minimum": 1, "format": "int32"}),
            json!({"type": "integer", "minimum": 1, "maximum": i32::MAX}),
        ),
        (
            json!({"nullable": true, "allOf": [{"$ref": "#/components/schemas/a"}]}),
            json!({"anyOf": [{"type": "null"}, {"allOf": [{"type": "string"}]}]}),
        ),
        (
            json!({"$ref": "#/components/schemas/a", "maxLength": 1}),
            json!({"type": "string"}),
        ),
        (
            json!({"type": "object", "required": ["id", "name"], "properties": {
                "id": {"type": "integer", "readOnly": true}, "name": {"type": "string"}}}),
            json!({"type": "object", "required": ["name"], "properties": {
                "id": {"type": "integer"}, "name": {"type": "string"}}}),
        ),
    ];
    for (schema, expected) in cases {
        let schemas = json!({"a": {"type": "string"}});
        assert_eq!(
            converted("3.0.3", &schema, &schemas)["properties"]["body"],
            expected
        );
    }
    let beside = json!({"$ref": "#/components/schemas/a", "maxLength": 1});
    let input = converted("3.1.0", &beside, &json!({"a": {"type": "string"}}));
    let both = json!({"allOf": [{"type": "string"}, {"maxLength": 1}]});
    assert_eq!(input["properties"]["body"], both);
}

/// Why the one route is left out.
fn left(path: &str, item: &Json) -> String {
    let found = document(
        &json!({path: item}),
        &json!({"loop": {"$ref": "#/components/schemas/loop"}}),
    );
    let [(_, why)] = found.left_out.as_slice() else {
        panic!("{:?}", found.left_out)
    };
    assert!(found.routes.is_empty());
    why.clone()
}

#[test]
fn what_cannot_be_enforced_is_left_out_with_its_reason() {
    let post = |schema: Json| json!({"post": {"requestBody": body(&schema)}});
    let cases = [
        ("/a/{b}{c}", json!({"get": {}}), "one variable"),
        ("/a//b", json!({"get": {}}), "empty part"),
        ("a", json!({"get": {}}), "does not start with `/`"),
        ("/a?b=c", json!({"get": {}}), "characters"),
        ("/a", json!({"trace": {}}), "no method `TRACE`"),
        (
            "/a",
            json!({"get": {"servers": [{"url": "https://other.example"}]}}),
            "other.example",
        ),
        (
            "/a",
            post(json!({"$ref": "#/components/schemas/none"})),
            "is not in the document",
        ),
        (
            "/a",
            post(json!({"$ref": "pet.yaml#/Pet"})),
            "another document",
        ),
        (
            "/a",
            post(json!({"type": "string", "pattern": "(?=a)b"})),
            "cannot be enforced",
        ),
        (
            "/a",
            post(json!({"$dynamicRef": "#a"})),
            "moves what references mean",
        ),
        (
            "/a",
            json!({"get": {"parameters": [{"$ref": "#/components/schemas/loop"}]}}),
            "itself",
        ),
        (
            "/a",
            json!({"get": {"parameters": [{"name": "f[]", "in": "query", "required": true}]}}),
            "several ways",
        ),
    ];
    for (path, item, why) in cases {
        let said = left(path, &item);
        assert!(said.contains(why), "{path} {item}: {said}");
    }
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"not": deep});
    }
    // The JSON library reads no deeper than this.
    let text = format!("openapi: 3.1.0\npaths: {{/a: {}}}\n", post(deep));
    let said = read(&text).map(|it| it.left_out);
    assert!(
        format!("{said:?}").contains("nested deeper than 64"),
        "{said:?}"
    );
}

#[test]
fn bodies_that_are_not_json_are_told() {
    let found = document(
        &json!({"/up": {"post": {"requestBody": {"content": {"multipart/form-data": {}}},
            "callbacks": {"done": {}}}}, "/get": {"get": {"requestBody": {}}}}),
        &json!({}),
    );
    let notes: Vec<_> = found.notes.keys().cloned().collect();
    let text = notes.join("\n");
    for told in [
        "`multipart/form-data` cannot be checked and is refused",
        "callbacks",
        "GET has no body",
    ] {
        assert!(text.contains(told), "{text}");
    }
    let input = &found.routes["POST /up"]["input"];
    assert_eq!(input["properties"].get("body"), None, "a body is refused");
}

#[test]
fn two_routes_that_one_path_fits_are_told() {
    let get = json!({"get": {}});
    let paths = json!({"/a/{x}": get, "/a/{y}": get, "/a/b": get, "/{z}/c": get});
    let found = document(&paths, &json!({}));
    let [(twin, why)] = found.left_out.as_slice() else {
        panic!("{:?}", found.left_out)
    };
    assert_eq!(twin, "GET /a/{y}");
    assert!(why.contains("GET /a/{x}"), "{why}");
    let note = found
        .notes
        .iter()
        .find(|(note, _)| note.starts_with("some paths fit"));
    let pairs = note.map(|(_, pairs)| pairs.iter().cloned().collect::<Vec<_>>());
    assert_eq!(pairs.unwrap(), ["GET /a/{x} and GET /{z}/c"]);
}

#[test]
fn other_texts_are_refused_with_what_they_are() {
    let cases = [
        ("", "empty"),
        ("a: [", "line 1: "),
        (
            "openapi: 3.1.0\nopenapi: 3.0.0\n",
            "line 2: the key `openapi` is there twice",
        ),
        ("swagger: \"2.0\"\n", "Swagger 2.0"),
        ("openapi: 2.5.0\n", "OpenAPI 2.5.0"),
        ("asyncapi: 3.0.0\n", "AsyncAPI"),
        ("hello: world\n", "no OpenAPI document"),
        ("- 1\n", "no OpenAPI document"),
        ("openapi: 3.1.0\n", "no path"),
        ("openapi: 3.1.0\npaths: {}\n", "no path"),
        ("openapi: 3.1.0\n---\nopenapi: 3.1.0\n", "several"),
    ];
    for (text, said) in cases {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text:?}: {error}");
    }
}
