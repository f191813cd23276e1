use super::*;

fn taken(templates: &[&str], path: &str) -> Option<u32> {
    let mut routes: Vec<Route> = templates
        .iter()
        .zip(0..)
        .map(|(text, at)| Route {
            method: "GET".to_owned(),
            template: Template::parse(text).unwrap(),
            surface: SurfaceId(at),
        })
        .collect();
    routes.sort_by_key(|route| route.template.rank());
    let segments = segments(path).unwrap();
    find(&routes, "GET", &segments).map(|(surface, _)| surface.0)
}

#[test]
fn what_a_lenient_upstream_takes_for_a_more_literal_route_matches_nothing() {
    let users = ["/v1/users/{id}", "/v1/users/admin", "/v1/{+rest}"];
    assert_eq!(taken(&users, "/v1/users/7"), Some(0));
    assert_eq!(taken(&users, "/v1/users/admin"), Some(1));
    assert_eq!(taken(&users, "/v1/other/x"), Some(2));
    for path in [
        "/v1/users/ADMIN",
        "/v1/users/%41dmin",
        "/v1/users/admin/",
        "/v1/users/7/",
        "/v1/Users/7",
    ] {
        assert_eq!(taken(&users, path), None, "{path}");
    }
}

#[test]
fn routes_that_the_registry_tells_apart_are_told_apart() {
    let both = ["/a/x", "/a/X", "/a/x/", "/b/{id}", "/b/{id}/"];
    assert_eq!(taken(&both, "/a/x"), Some(0));
    assert_eq!(taken(&both, "/a/X"), Some(1));
    assert_eq!(taken(&both, "/a/x/"), Some(2));
    assert_eq!(taken(&both, "/b/7"), Some(3));
    assert_eq!(taken(&both, "/b/7/"), Some(4));
    let parts = ["/d/{name}.md", "/d/{name}"];
    assert_eq!(taken(&parts, "/d/a.md"), Some(0));
    assert_eq!(taken(&parts, "/d/a"), Some(1));
    assert_eq!(taken(&parts, "/d/a.MD"), None);
}
