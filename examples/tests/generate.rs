//! `generate`: a prompt, a conversation, and what ends them.

mod programs;

use programs::{lines, program, random_model};
use serde_json::Value;

#[test]
fn a_prompt_is_continued_and_streamed_as_the_json_says() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let prompt = ["--model", model, "--prompt", "the cat", "--max-new-tokens", "5"];
    let text = program("generate", &prompt, "").ok();
    let json = program("generate", &[&prompt[..], &["--json"]].concat(), "").ok();
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(format!("{}\n", object["text"].as_str().unwrap()), text);
    assert_eq!((&object["prompt"], &object["finish"]), (&"the cat".into(), &"length".into()));
    assert_eq!(object["tokens"], 5);

    let sample = |seed| {
        let flags = ["--temperature", "1", "--top-k", "50", "--top-p", "0.95", "--min-p", "0.01"];
        let more = ["--repetition-penalty", "1.1", "--seed", seed];
        program("generate", &[&prompt[..], &flags, &more].concat(), "").ok()
    };
    assert_eq!(sample("1"), sample("1"));
    assert_ne!(sample("1"), sample("2"));

    let first = text.chars().next().unwrap().to_string();
    let first = if first == "\\" { "\\\\".into() } else { first };
    let stopped =
        program("generate", &[&prompt[..], &["--stop", &first, "--json"]].concat(), "").ok();
    let object: Value = serde_json::from_str(&stopped).unwrap();
    assert_eq!((&object["text"], &object["finish"]), (&"".into(), &"stop".into()));

    let bad = program("generate", &[&prompt[..], &["--top-p", "2"]].concat(), "").error();
    assert!(bad.contains("top_p"), "{bad}");
    let neither = program("generate", &["--model", model], "");
    assert_eq!(neither.code, Some(2));
}

#[test]
fn a_conversation_needs_a_template() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let chat = ["--model", model, "--chat", "--max-new-tokens", "5"];
    let error = program("generate", &chat, "hello\n").error();
    assert!(error.contains("--template chatml"), "{error}");

    let template = [&chat[..], &["--template", "chatml"]].concat();
    let answers = program("generate", &template, "hello\n\nagain\n").ok();
    let first = program("generate", &template, "hello\n").ok();
    assert!(answers.starts_with(&first), "{answers:?} {first:?}");
    assert!(answers.len() > first.len(), "the second message has its answer too");

    // The model's own template, and one from a file.
    let own = "{% for m in messages %}{{ m.content }} {% endfor %}";
    let file = lines(folder.path(), "mine.jinja", &[own]);
    let from_file =
        program("generate", &[&chat[..], &["--template", &file]].concat(), "hello\n").ok();
    lines(folder.path(), "chat_template.jinja", &[own]);
    assert_eq!(program("generate", &chat, "hello\n").ok(), from_file);
    let missing = [&chat[..], &["--template", "absent.jinja"]].concat();
    assert!(program("generate", &missing, "").error().contains("absent.jinja"));
}
