//! Chat templates: which text is trained, and what a hostile template can do.

use std::collections::BTreeMap;
use std::time::Instant;

use nexus_core::data::{ChatTemplate, Message, Segment};
use serde_json::json;

fn template(source: &str) -> ChatTemplate {
    let special = BTreeMap::from([("eos_token".to_owned(), "</s>".to_owned())]);
    ChatTemplate::new(source, &special).unwrap()
}

fn chat(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|(role, text)| Message::new(*role, *text)).collect()
}

fn trained(segments: Vec<Segment>) -> Vec<String> {
    segments.into_iter().filter(|s| s.trained).map(|s| s.text).collect()
}

const PLAIN: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}\
                     {% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
const TURNS: [(&str, &str); 4] =
    [("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")];

#[test]
fn prefixes_find_the_assistant() {
    let segments = template(PLAIN).render_segments(&chat(&TURNS), None).unwrap();
    let whole: String = segments.iter().map(|s| s.text.as_str()).collect();
    assert_eq!(whole, "<user>q</s><assistant>a</s><user>r</s><assistant>b</s>");
    assert_eq!(trained(segments), ["a</s>", "b</s>"]);
}

#[test]
fn weight_zero_is_not_trained() {
    let mut messages = chat(&TURNS);
    messages[1].extra.insert("weight".into(), json!(0));
    let plain = template(PLAIN).render_segments(&messages, None).unwrap();
    assert_eq!(trained(plain), ["b</s>"]);
    let blocks = ChatTemplate::chatml().unwrap().render_segments(&messages, None).unwrap();
    assert_eq!(trained(blocks), ["b<|im_end|>"]);
    let odd =
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}";
    let error = template(odd).render_segments(&messages, None).unwrap_err();
    assert!(error.to_string().contains("weight"), "{error}");
}

#[test]
fn a_template_that_rewrites_history_needs_generation_blocks() {
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last else '' }}\
                  {% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    let error = template(source).render_segments(&chat(&TURNS), None).unwrap_err();
    assert!(error.to_string().contains("generation"), "{error}");
}

#[test]
fn chatml_trains_the_end_marker() {
    let chatml = ChatTemplate::chatml().unwrap();
    let messages = chat(&[("system", "s"), ("user", "q"), ("assistant", "a")]);
    let text = chatml.render(&messages[..2], None, true).unwrap();
    assert_eq!(
        text,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    );
    let segments = chatml.render_segments(&messages, None).unwrap();
    assert_eq!(segments.last().unwrap(), &Segment { text: "\n".into(), trained: false });
    assert_eq!(trained(segments), ["a<|im_end|>"]);
}

#[test]
fn text_that_looks_like_a_mark_stays_text() {
    let content = "\u{e000}<0\u{e001}x\u{e000}>0\u{e001}\u{e000}";
    let messages = chat(&[("user", content), ("assistant", content)]);
    let segments = ChatTemplate::chatml().unwrap().render_segments(&messages, None).unwrap();
    assert_eq!(trained(segments), [format!("{content}<|im_end|>")]);
}

#[test]
fn exceptions_and_syntax_errors_are_explained() {
    let raising = template("\n{{ raise_exception('roles must alternate') }}");
    let error = raising.render(&chat(&TURNS), None, false).unwrap_err().to_string();
    assert!(error.contains("roles must alternate") && error.contains(":2"), "{error}");
    for source in
        ["{% if %}", "{{ 'open", "{% generation %}", "{% endgeneration %}", "{% include 'x' %}"]
    {
        let error = ChatTemplate::new(source, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("chat template"), "{error}");
    }
}

#[test]
fn hostile_templates_stop() {
    let n = "{% for a in range(99999) %}";
    let end = "{% endfor %}";
    let attacks = [
        format!("{n}{n}{n}{end}{end}{end}"),
        format!("{n}{n}{{{{ 'x' * 1000 }}}}{end}{end}"),
        "{{ 'x' * 99999999 * 99999999 }}".to_owned(),
        "{% set ns = namespace(s='x') %}{% for a in range(99999) %}{% set ns.s = ns.s + ns.s %}\
         {% endfor %}"
            .to_owned(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% macro f() %}{% generation %}{{ f() }}{% endgeneration %}{% endmacro %}{{ f() }}"
            .to_owned(),
        "{{ ('x' * 9999999)|replace('x', 'y' * 9999) }}".to_owned(),
        "{{ [1]|tojson(indent=99999999999) }}{{ range(9999999999) }}".to_owned(),
    ];
    for attack in attacks {
        let start = Instant::now();
        let result = template(&attack).render(&chat(&TURNS), None, false);
        assert!(result.is_err(), "{attack}");
        assert!(start.elapsed().as_secs() < 20, "{attack}: {:?}", start.elapsed());
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(ChatTemplate::new(&deep, &BTreeMap::new()).is_err());
}

#[test]
fn long_conversations_are_within_the_budget() {
    let messages: Vec<Message> = (0..2000)
        .map(|i| Message::new(if i % 2 == 0 { "user" } else { "assistant" }, "x".repeat(500)))
        .collect();
    let text = ChatTemplate::chatml().unwrap().render(&messages, None, false).unwrap();
    assert!(text.len() > 1_000_000);
}
