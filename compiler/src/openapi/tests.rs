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

#[test]
fn what_grows_without_end_is_bounded() {
    // A million alternatives, each of them a text.
    let mut schemas = Map::new();
    let name = |n: usize| format!("#/components/schemas/s{n}");
    for n in 0..12 {
        let alternatives = vec![json!({"$ref": name(n + 1)}); 10];
        schemas.insert(format!("s{n}"), json!({"anyOf": alternatives}));
    }
    schemas.insert("s12".to_owned(), json!({"type": "string"}));
    let query =
        json!([{"name": "q", "in": "query", "required": true, "schema": {"$ref": name(0)}}]);
    let paths = json!({"/a": {"get": {"parameters": query}}});
    let found = document(&paths, &Json::Object(schemas));
    assert_eq!(found.routes.len() + found.left_out.len(), 1);
    // Names that lead to names, each of them twice.
    let mut schemas = Map::new();
    for n in 0..900 {
        let next = json!({"$ref": name(n + 1)});
        let properties = json!({"a": next, "b": next});
        schemas.insert(
            format!("s{n}"),
            json!({"type": "object", "properties": properties}),
        );
    }
    schemas.insert("s900".to_owned(), json!({"type": "string"}));
    let paths = json!({"/a": {"post": {"requestBody": body(&json!({"$ref": name(0)}))}}});
    let found = document(&paths, &Json::Object(schemas));
    assert_eq!(found.routes.len() + found.left_out.len(), 1);
}

#[test]
fn a_document_that_is_damaged_anywhere_is_read_or_refused() {
    let text = include_str!("../../tests/openapi/shop.yaml");
    let whole = foreign::read(text).unwrap().pop().unwrap();
    let mut places = Vec::new();
    pointers(&whole, String::new(), &mut places);
    assert!(places.len() > 60, "{}", places.len());
    let wrong = [
        json!(null),
        json!(7),
        json!("x"),
        json!([]),
        json!({}),
        json!([[{"$ref": "#"}]]),
        json!({"$ref": "#"}),
        json!({"$ref": "#/paths"}),
        json!({"a": {"$ref": 1}}),
    ];
    let mut read_all = 0;
    for place in &places {
        for value in &wrong {
            let mut damaged = whole.clone();
            *damaged.pointer_mut(place).unwrap() = value.clone();
            if let Ok(found) = read(&damaged.to_string()) {
                for definition in found.routes.values() {
                    let input = &definition["input"];
                    assert!(
                        resolve::locked_is_enforceable(input).is_ok(),
                        "{place} {value}"
                    );
                }
                read_all += 1;
            }
        }
    }
    assert!(read_all > 400, "{read_all}");
}

fn pointers(value: &Json, here: String, places: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, format!("{here}/{key}"), places);
            }
        }
        Json::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                pointers(value, format!("{here}/{at}"), places);
            }
        }
        _ => {}
    }
    if !here.is_empty() {
        places.push(here);
    }
}
