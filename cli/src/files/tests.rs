use http::HeaderName;
use tempfile::TempDir;

use super::*;

/// A folder `root` with some files, and a secret beside it.
struct Site {
    dir: TempDir,
    root: Root,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("docs/empty")).unwrap();
        fs::write(dir.path().join("secret.txt"), "secret").unwrap();
        fs::create_dir(dir.path().join("rootkit")).unwrap();
        fs::write(dir.path().join("rootkit/secret.txt"), "secret").unwrap();
        fs::write(root.join("index.html"), "<p>home").unwrap();
        fs::write(root.join("docs/index.html"), "<p>docs").unwrap();
        fs::write(root.join("ten.txt"), "0123456789").unwrap();
        fs::write(root.join("a b.css"), "b{}").unwrap();
        fs::write(root.join("none.bin"), "").unwrap();
        let root = Root::open(&root).unwrap();
        Self { dir, root }
    }

    fn ask(&self, method: &Method, target: &str, fields: &[(&'static str, &str)]) -> Plan {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(p, q)| (p, Some(q)));
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        self.root
            .plan(method, path, query, &fields.iter().map(pair).collect())
    }

    fn get(&self, target: &str) -> Plan {
        self.ask(&Method::GET, target, &[])
    }
}

impl Plan {
    fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn text(self) -> String {
        match self.body {
            Body::Empty => String::new(),
            Body::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            Body::File(mut content) => {
                let chunk = content.read().unwrap().unwrap();
                assert_eq!(content.left(), 0);
                String::from_utf8(chunk.to_vec()).unwrap()
            }
        }
    }
}

#[test]
fn files_and_folders_are_found() {
    let site = Site::new();
    for (target, status, content_type, text) in [
        ("/", 200, "text/html; charset=utf-8", "<p>home"),
        ("/index.html", 200, "text/html; charset=utf-8", "<p>home"),
        ("/docs/", 200, "text/html; charset=utf-8", "<p>docs"),
        (
            "/ten.txt?x=1",
            200,
            "text/plain; charset=utf-8",
            "0123456789",
        ),
        ("/a%20b.css", 200, "text/css; charset=utf-8", "b{}"),
        ("/none.bin", 200, "application/octet-stream", ""),
        (
            "/docs/empty/",
            404,
            "text/plain; charset=utf-8",
            "404 Not Found\n",
        ),
        (
            "/nowhere",
            404,
            "text/plain; charset=utf-8",
            "404 Not Found\n",
        ),
        (
            "/ten.txt/",
            404,
            "text/plain; charset=utf-8",
            "404 Not Found\n",
        ),
        (
            "/ten.txt/x",
            404,
            "text/plain; charset=utf-8",
            "404 Not Found\n",
        ),
    ] {
        let plan = site.get(target);
        assert_eq!(plan.status, status, "{target}");
        assert_eq!(plan.field("content-type"), content_type, "{target}");
        let length: usize = plan.field("content-length").parse().unwrap();
        let body = plan.text();
        assert_eq!(body, text, "{target}");
        assert_eq!(length, body.len(), "{target}");
    }
}

#[test]
fn a_folder_without_its_slash_is_moved() {
    let plan = Site::new().get("/docs?x=1");
    assert_eq!(plan.status, 301);
    assert_eq!(plan.field("location"), "/docs/?x=1");
}

#[test]
fn head_has_the_fields_of_get_and_other_methods_are_refused() {
    let site = Site::new();
    let head = site.ask(&Method::HEAD, "/ten.txt", &[("range", "bytes=0-1")]);
    assert_eq!(head.status, 200);
    assert_eq!(head.field("content-length"), "10");
    assert!(matches!(head.body, Body::Empty));
    assert!(matches!(
        site.ask(&Method::HEAD, "/nowhere", &[]).body,
        Body::Empty
    ));
    let post = site.ask(&Method::POST, "/ten.txt", &[]);
    assert_eq!(
        (post.status.as_u16(), post.field("allow")),
        (405, "GET, HEAD")
    );
}

#[test]
fn one_range_is_served_and_a_wrong_one_explained() {
    let site = Site::new();
    for (range, status, content_range, text) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        (
            "bytes=10-",
            416,
            "bytes */10",
            "416 Range Not Satisfiable\n",
        ),
        ("bytes=0-1,3-4", 200, "", "0123456789"),
    ] {
        let plan = site.ask(&Method::GET, "/ten.txt", &[("range", range)]);
        assert_eq!(plan.status, status, "{range}");
        assert_eq!(plan.field("content-range"), content_range, "{range}");
        assert_eq!(plan.text(), text, "{range}");
    }
}

#[test]
fn validators_save_transfers() {
    let site = Site::new();
    let first = site.get("/ten.txt");
    let etag = first.field("etag").to_owned();
    assert!(!etag.is_empty() && !first.field("last-modified").is_empty());
    let again = site.ask(&Method::GET, "/ten.txt", &[("if-none-match", &etag)]);
    assert_eq!(again.status, 304);
    assert_eq!(again.field("etag"), etag);
    assert!(matches!(again.body, Body::Empty));
    let resumed = [("if-range", etag.as_str()), ("range", "bytes=5-")];
    assert_eq!(site.ask(&Method::GET, "/ten.txt", &resumed).status, 206);
    fs::write(site.dir.path().join("root/ten.txt"), "changed it").unwrap();
    let changed = site.ask(&Method::GET, "/ten.txt", &resumed);
    assert_eq!(
        (changed.status.as_u16(), changed.text().as_str()),
        (200, "changed it")
    );
}

#[test]
fn nothing_outside_the_folder_is_served() {
    let site = Site::new();
    for target in [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/.%2E/secret.txt",
        "/..%2fsecret.txt",
        "/docs/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/ten.txt%00.html",
        "/../rootkit/secret.txt",
    ] {
        let plan = site.get(target);
        assert_eq!(plan.status, 400, "{target}");
        assert!(!plan.text().contains("secret"), "{target}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_within_the_folder_only() {
    use std::os::unix::fs::symlink;

    let site = Site::new();
    let outside = site.dir.path();
    let root = outside.join("root");
    symlink(outside.join("secret.txt"), root.join("leak.txt")).unwrap();
    symlink("../secret.txt", root.join("relative.txt")).unwrap();
    symlink(outside, root.join("up")).unwrap();
    symlink(outside.join("rootkit"), root.join("sibling")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    fs::remove_file(root.join("docs/index.html")).unwrap();
    symlink("../../secret.txt", root.join("docs/index.html")).unwrap();
    symlink("ten.txt", root.join("inside.txt")).unwrap();
    for target in [
        "/leak.txt",
        "/relative.txt",
        "/up/secret.txt",
        "/up",
        "/up/",
        "/sibling/secret.txt",
        "/loop",
        "/dangling",
        "/docs/",
    ] {
        let plan = site.get(target);
        assert_eq!(plan.status, 404, "{target}");
        assert_eq!(plan.text(), "404 Not Found\n", "{target}");
    }
    assert_eq!(site.get("/inside.txt").text(), "0123456789");
}

#[cfg(unix)]
#[test]
fn exchanging_a_folder_for_a_link_never_leaks() {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    let site = Site::new();
    let root = site.dir.path().join("root");
    fs::create_dir(root.join("real")).unwrap();
    fs::write(root.join("real/secret.txt"), "public").unwrap();
    symlink(site.dir.path().join("rootkit"), root.join("link")).unwrap();
    fs::rename(root.join("real"), root.join("swap")).unwrap();
    let stop = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // swap: a folder, then nothing, then a link, then nothing
                fs::rename(root.join("swap"), root.join("real")).unwrap();
                fs::rename(root.join("link"), root.join("swap")).unwrap();
                fs::rename(root.join("swap"), root.join("link")).unwrap();
                fs::rename(root.join("real"), root.join("swap")).unwrap();
            }
        });
        let texts: Vec<_> = (0..20_000)
            .map(|_| site.get("/swap/secret.txt").text())
            .collect();
        stop.store(true, Ordering::Relaxed);
        texts
    });
    assert!(served.iter().any(|text| text == "public"));
    assert!(served.iter().all(|text| text != "secret"));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_does_not_block_the_server() {
    let site = Site::new();
    let pipe = site.dir.path().join("root/pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    assert_eq!(site.get("/pipe").status, 404);
}

#[cfg(unix)]
#[test]
fn want_of_descriptors_passes_and_a_broken_disk_does_not() {
    for (code, status) in [(12, 503), (23, 503), (24, 503), (5, 500)] {
        let error = io::Error::from_raw_os_error(code);
        assert_eq!(status_of(&error).as_u16(), status, "{error}");
    }
}
