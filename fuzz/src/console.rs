//! Target `console`: the output of a build. No output does harm, and the reason of a failure stays short.

use isar_build_all::bitbake::console::{Collector, ConsoleLine, Mounts, Said};

/// Parses any bytes.
pub fn console(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mounts = Mounts::new([
        ("/work".to_owned(), "/home/me/work".to_owned()),
        ("/build".to_owned(), "/big/build".to_owned()),
    ]);
    let mut collector = Collector::default();
    for raw in text.split('\n') {
        let line = ConsoleLine::new(raw);
        assert!(line.text.len() <= raw.len() && !line.text.contains("\u{1b}["));
        let said = Said::read(&line);
        if let Some(Said::FailureLog(path)) = &said
            && let Some(host) = mounts.host(path)
        {
            let below = host
                .strip_prefix("/home/me/work")
                .or(host.strip_prefix("/big/build"));
            assert!(below.is_some_and(|rest| !rest.split('/').any(|part| part == "..")));
        }
        collector.hear(&line, said.as_ref());
    }
    let failure = collector.failure();
    assert!(!failure.reason.is_empty() && failure.reason.chars().count() <= 301);
    assert!(failure.tail.len() <= 20);
    if !failure.tasks.is_empty() {
        assert!(collector.ends_in_failure());
    }
}
