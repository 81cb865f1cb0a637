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

#[test]
fn renders_as_transformers() {
    let golden: Golden = serde_json::from_str(include_str!("golden/chat/chat.json")).unwrap();
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
