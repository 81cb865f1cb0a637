//! Multiple choice against one choice at a time.

mod model;

use model::{close, log_probabilities, random, tokenizer};
use nexus_core::stage::Evaluator;
use nexus_eval::{Choice, ChoiceOptions, Question, ScoreOptions, encode_pair};

fn question(text: &str, choices: &[&str], answer: usize) -> Question {
    let choices = choices.iter().map(|choice| choice.to_string()).collect();
    Question { text: text.into(), choices, answer }
}

fn questions() -> Vec<Question> {
    vec![
        question("which animal sat?", &["a cat", "a dog sat on the mat", "a bird"], 0),
        question("the cat sat on the ", &["mat", "dog"], 1),
        question("the", &["cat", "cat", "cat"], 0),
        question("a dog,", &["the mat.", "ünï", "sat", "which"], 2),
    ]
}

fn score(max_length: Option<usize>, batch_size: usize) -> ChoiceOptions {
    ChoiceOptions { score: ScoreOptions { max_length, batch_size }, ..ChoiceOptions::default() }
}

fn first_largest(values: &[f64]) -> usize {
    let largest = values.iter().copied().fold(f64::MIN, f64::max);
    values.iter().position(|&value| value == largest).unwrap()
}

#[test]
fn choices_are_scored_as_one_at_a_time_at_every_batch_size() {
    let (tokenizer, model) = (tokenizer(), random(290));
    for batch_size in [1, 5, 100] {
        let task = Choice::new(&questions(), &tokenizer, score(None, batch_size)).unwrap();
        let mut steps = Vec::new();
        let (report, outcomes) =
            task.measure(&model, &mut |done, all| steps.push((done, all))).unwrap();
        assert_eq!((steps[0], steps[steps.len() - 1]), ((0, 12), (12, 12)));
        let (mut right, mut right_norm) = (0, 0);
        for (i, (question, outcome)) in questions().iter().zip(&outcomes).enumerate() {
            let sums: Vec<f64> = question
                .choices
                .iter()
                .map(|choice| {
                    let space = if question.text.ends_with(' ') { "" } else { " " };
                    let continuation = format!("{space}{choice}");
                    let (context, continuation) =
                        encode_pair(&tokenizer, &question.text, &continuation).unwrap();
                    log_probabilities(&model, &context, &continuation).iter().sum()
                })
                .collect();
            for (found, expected) in outcome.log_likelihoods.iter().zip(&sums) {
                close(*found, *expected, 1e-5);
            }
            let norm: Vec<f64> =
                sums.iter().zip(&question.choices).map(|(sum, c)| sum / c.len() as f64).collect();
            assert_eq!((outcome.index, outcome.answer), (i, question.answer));
            // Three equal choices: the first.
            let expected =
                if i == 2 { (0, 0) } else { (first_largest(&sums), first_largest(&norm)) };
            assert_eq!((outcome.chosen, outcome.chosen_norm), expected, "question {i}");
            right += usize::from(expected.0 == question.answer);
            right_norm += usize::from(expected.1 == question.answer);
        }
        for (name, right) in [("accuracy", right), ("accuracy_norm", right_norm)] {
            let measure = report.measure(name).unwrap();
            let p = right as f64 / 4.0;
            assert_eq!(measure.value, p);
            close(measure.stderr.unwrap(), (p * (1.0 - p) / 3.0).sqrt(), 1e-12);
            assert!(measure.higher_is_better && measure.n == 4);
        }
    }
}

#[test]
fn one_space_stands_between_question_and_choice_whoever_wrote_it() {
    let (tokenizer, model) = (tokenizer(), random(290));
    let questions = [question("the", &["cat", " cat"], 0), question("the ", &["cat", "dog"], 0)];
    let task = Choice::new(&questions, &tokenizer, ChoiceOptions::default()).unwrap();
    let (_, outcomes) = task.measure(&model, &mut |_, _| {}).unwrap();
    let first = outcomes[0].log_likelihoods[0];
    assert_eq!(outcomes[0].log_likelihoods[1], first);
    close(outcomes[1].log_likelihoods[0], first, 1e-5);
}

#[test]
fn a_long_question_loses_its_beginning() {
    let (tokenizer, model) = (tokenizer(), random(290));
    let questions = [question("the cat sat on the mat. which animal sat?", &["a cat", "a dog"], 0)];
    let task = Choice::new(&questions, &tokenizer, score(Some(6), 2)).unwrap();
    let (_, outcomes) = task.measure(&model, &mut |_, _| {}).unwrap();
    let (context, continuation) = encode_pair(&tokenizer, &questions[0].text, " a cat").unwrap();
    assert!(context.len() + continuation.len() > 7);
    let kept = &context[context.len() + continuation.len() - 7..];
    let expected: f64 = log_probabilities(&model, kept, &continuation).iter().sum();
    close(outcomes[0].log_likelihoods[0], expected, 1e-5);

    let task = Choice::new(&questions, &tokenizer, score(Some(1), 2)).unwrap();
    let error = task.evaluate(&model).unwrap_err().to_string();
    assert!(error.contains("question 0") && error.contains("max_length"), "{error}");
}

#[test]
fn files_are_read_and_their_errors_name_the_line() {
    let (tokenizer, model) = (tokenizer(), random(290));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("questions.jsonl");
    let good = r#"{"prompt": "the cat", "choices": ["sat", "on"], "answer": 1, "topic": "x"}"#;
    std::fs::write(&path, format!("{good}\n\n{}", good.replace("prompt", "question"))).unwrap();
    let task = Choice::from_file(&path, &tokenizer, ChoiceOptions::default()).unwrap();
    let (report, outcomes) = task.measure(&model, &mut |_, _| {}).unwrap();
    assert_eq!((report.examples, report.task.as_str()), (2, "choice"));
    assert_eq!(outcomes[0].log_likelihoods, outcomes[1].log_likelihoods);

    for (bad, part) in [
        (r#"{"question": "a", "choices": ["b", "c"], "answer": 2}"#, "choices are 0 to 1"),
        (r#"{"question": "a", "choices": ["b", "c"], "answer": -1}"#, "index"),
        (r#"{"question": "a", "choices": ["b", "c"], "answer": "b"}"#, "index"),
        (r#"{"question": "a", "choices": ["b", "c"]}"#, "index"),
        (r#"{"question": "a", "choices": ["b"], "answer": 0}"#, "at least 2"),
        (r#"{"question": "a", "choices": ["b", ""], "answer": 0}"#, "choice 1 is empty"),
        (r#"{"question": "a", "choices": "b", "answer": 0}"#, "list of texts"),
        (r#"{"question": "", "choices": ["b", "c"], "answer": 0}"#, "question is empty"),
        (r#"{"question": 1, "choices": ["b", "c"], "answer": 0}"#, "must be a text"),
        (r#"{"question": "a", "prompt": "a", "choices": ["b", "c"], "answer": 0}"#, "both"),
        (r#"{"choices": ["b", "c"], "answer": 0}"#, "expected {"),
        ("[]", "JSON object"),
    ] {
        std::fs::write(&path, format!("{good}\n{bad}\n")).unwrap();
        let error = Choice::from_file(&path, &tokenizer, ChoiceOptions::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("questions.jsonl:2: ") && error.contains(part), "{bad}: {error}");
    }
    std::fs::write(&path, "\n").unwrap();
    assert!(Choice::from_file(&path, &tokenizer, ChoiceOptions::default()).is_err());
    assert!(Choice::new(&[], &tokenizer, ChoiceOptions::default()).is_err());
    let glued = ChoiceOptions { delimiter: String::new(), ..ChoiceOptions::default() };
    let error = Choice::new(&[question("th", &["e", "x"], 0)], &tokenizer, glued).unwrap_err();
    assert!(error.to_string().contains("question 0: choice 0"), "{error}");
}
