//! Chat templates against transformers' Jinja environment (see golden/chat/export.py).

use std::collections::BTreeMap;

use nexus_core::data::{ChatTemplate, Message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    special: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    tools: serde_json::Value,
    chats: BTreeMap<String, Vec<Message>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    chat: String,
    prompt: bool,
    text: String,
    trained: Option<Vec<String>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/chat/chat.json")).unwrap()
}

/// Templates without generation blocks: the assistant's text, its end token and what follows it.
#[test]
fn trained_text_of_published_forms() {
    let golden = golden();
    let (first, second) = (" Hello! é🦙 ", "<think>\nhm\n</think>\n\nNothing.");
    let expected = [
        ("chatml", [format!("{first}<|im_end|>\n"), format!("{second}<|im_end|>\n")]),
        ("llama2", [format!("{first}</s>"), format!(" {second} </s>")]),
        ("llama3", [format!("{}<|eot_id|>", first.trim()), format!("{second}<|eot_id|>")]),
        ("mistral", [format!("{first}</s>"), format!("{second}</s>")]),
        ("zephyr", [format!("{first}</s>\n"), format!("{second}</s>\n")]),
    ];
    for (name, expected) in expected {
        let template = ChatTemplate::new(&golden.templates[name], &golden.special).unwrap();
        let segments = template.render_segments(&golden.chats["turns"], None).unwrap();
        let trained: Vec<_> = segments.into_iter().filter(|s| s.trained).map(|s| s.text).collect();
        assert_eq!(trained, expected, "{name}");
    }
    // This one prints a summary after the last message, so a prefix of a chat has another end.
    let template = ChatTemplate::new(&golden.templates["namespace"], &golden.special).unwrap();
    assert!(template.render_segments(&golden.chats["turns"], None).is_err());
}

#[test]
fn renders_as_transformers() {
    let golden = golden();
    let mut wrong = 0;
    for case in &golden.cases {
        let template =
            ChatTemplate::new(&golden.templates[&case.template], &golden.special).unwrap();
        let messages = &golden.chats[&case.chat];
        let tools = (case.chat == "calls").then_some(&golden.tools);
        let text = template.render(messages, tools, case.prompt);
        if !text.as_ref().is_ok_and(|t| *t == case.text) {
            wrong += 1;
            println!("{} {} {}\n{text:?}\n{:?}", case.template, case.chat, case.prompt, case.text);
        }
        if let (Some(trained), false) = (&case.trained, case.prompt) {
            let segments = template.render_segments(messages, tools).unwrap();
            let whole: String = segments.iter().map(|s| s.text.as_str()).collect();
            assert_eq!(whole, case.text);
            let ours: Vec<_> = segments.into_iter().filter(|s| s.trained).map(|s| s.text).collect();
            assert_eq!(&ours, trained, "{} {}", case.template, case.chat);
        }
    }
    assert_eq!(wrong, 0, "of {} cases", golden.cases.len());
    assert!(golden.cases.len() > 40);
}
