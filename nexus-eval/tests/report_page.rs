//! The HTML page in a real browser: no errors, no sideways scrolling on a phone, something to see in light and dark.
//!
//! Needs `chromium` in the PATH; without it the test says so and passes. With `NEXUS_TEST_PAGES=folder` the screenshots
//! stay there.

mod sample_report;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const WIDTHS: [u32; 2] = [1280, 390];

/// `prefers-color-scheme` as Blink numbers it.
const SCHEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];

#[test]
fn the_page_is_readable_on_a_desk_and_on_a_phone_in_light_and_dark() {
    if !Command::new("chromium").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: there is no chromium in the PATH, the page was not looked at");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let html = sample_report::sample().to_html().unwrap();
    let page = folder.path().join("report.html");
    std::fs::write(&page, &html).unwrap();
    let keep = std::env::var_os("NEXUS_TEST_PAGES").map(PathBuf::from);
    for width in WIDTHS {
        let height = measured_height(folder.path(), &html, width);
        for (scheme, number) in SCHEMES {
            let png = folder.path().join(format!("{width}-{scheme}.png"));
            let output = chromium(folder.path())
                .arg(format!("--blink-settings=preferredColorScheme={number}"))
                .arg(format!("--window-size={width},{height}"))
                .arg(format!("--screenshot={}", png.display()))
                .arg(format!("file://{}", page.display()))
                .output()
                .unwrap();
            let log = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{log}");
            assert!(!log.contains("CONSOLE"), "{width} {scheme}: {log}");
            let (mean, colours) = look_at(&png, width);
            assert!(colours > 100, "{width} {scheme}: only {colours} colours");
            assert_eq!(mean > 128.0, scheme == "light", "{width} {scheme}: mean brightness {mean}");
            if let Some(keep) = &keep {
                std::fs::create_dir_all(keep).unwrap();
                std::fs::copy(&png, keep.join(png.file_name().unwrap())).unwrap();
            }
        }
    }
}

fn chromium(folder: &Path) -> Command {
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command
}

/// The page's height at a width; refuses a page that is wider than the window, loads something or is not what was
/// written.
///
/// The page stands in a frame of that width, whose script measures it: the page itself allows no script.
fn measured_height(folder: &Path, html: &str, width: u32) -> u32 {
    const PROBE: &str = "<script>addEventListener('load', () => {
        const root = document.documentElement;
        parent.postMessage([root.scrollWidth, root.scrollHeight, performance.getEntriesByType('resource').length,
            document.scripts.length, document.title].join(' '), '*');
    });</script>";
    let policy = html.find("<meta http-equiv").expect("the page has a policy");
    let end = policy + html[policy..].find('>').unwrap() + 1;
    let probed = format!("{}{PROBE}{}", &html[..policy], &html[end..]);
    std::fs::write(folder.join("probed.html"), probed).unwrap();
    let outer = format!(
        "<!doctype html><title>probe</title><script>
         addEventListener('message', event => document.body.setAttribute('data-size', event.data));
         </script><body><iframe src=\"probed.html\" width=\"{width}\" height=\"800\" style=\"border:0\"></iframe>"
    );
    let probe = folder.join("probe.html");
    std::fs::write(&probe, outer).unwrap();
    let output = chromium(folder)
        .args(["--window-size=1400,900", "--dump-dom"])
        .arg(format!("file://{}", probe.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let from =
        dom.find("data-size=\"").unwrap_or_else(|| panic!("no answer from the page: {dom}")) + 11;
    let sizes = &dom[from..from + dom[from..].find('"').unwrap()];
    let mut sizes = sizes.splitn(5, ' ');
    let mut number = || sizes.next().unwrap().parse::<u32>().unwrap();
    let (wide, high, loaded, scripts) = (number(), number(), number(), number());
    assert!(wide <= width, "{wide} pixels of page in {width} pixels of window");
    assert_eq!((loaded, scripts), (0, 1), "something was loaded, or a script got in");
    assert!(sizes.next().unwrap().starts_with("Support tickets"), "a script changed the title");
    high
}

/// Mean brightness and number of colours.
fn look_at(path: &Path, width: u32) -> (f64, usize) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(frame.width, width);
    let size = frame.color_type.samples();
    let colours: HashSet<&[u8]> = pixels.chunks(size).map(|pixel| &pixel[..3]).collect();
    let sum: f64 = pixels.chunks(size).map(|pixel| f64::from(pixel[1])).sum();
    (sum / (frame.width * frame.height) as f64, colours.len())
}
