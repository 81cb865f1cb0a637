//! What holds for any model.

use super::*;

#[test]
fn a_second_run_asks_nothing_and_a_killed_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    // A file for each: tasks may ask the same.
    let path = |name: &str| folder.path().join(format!("{name}.jsonl"));
    let options = TaskOptions::default();
    for name in TASKS {
        let task = Task::from_file(&golden(&format!("{name}.yaml"))).unwrap();
        let run = |model: &Counting| {
            let mut cache = ResponseCache::open(&path(name)).unwrap();
            task.evaluate(model, Some(&mut cache), &options, &mut |_, _| {})
        };
        let plain = Counting::new("model");
        let expected = task.evaluate(&plain, None, &options, &mut |_, _| {}).unwrap();

        let killed = Counting::new("model");
        killed.left.set(3);
        assert!(run(&killed).unwrap_err().to_string().contains("killed"));
        let later = Counting::new("model");
        assert_eq!(run(&later).unwrap().samples, expected.samples);
        assert_eq!(later.asked.get() + 3, plain.asked.get(), "{name}");
        let again = Counting::new("model");
        let found = run(&again).unwrap();
        assert_eq!((again.asked.get(), &found.values), (0, &expected.values));
        // Another model, other answers.
        let other = Counting::new("another model");
        run(&other).unwrap();
        assert_eq!(other.asked.get(), plain.asked.get());
    }
    // A line that is damaged is asked again.
    let path = path("golden_choice");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&path, [&lines[..1], &["{\"key\": 7}"], &lines[2..]].concat().join("\n"))
        .unwrap();
    let mut cache = ResponseCache::open(&path).unwrap();
    assert_eq!(cache.damaged(), [2]);
    let task = Task::from_file(&golden("golden_choice.yaml")).unwrap();
    let model = Counting::new("model");
    task.evaluate(&model, Some(&mut cache), &options, &mut |_, _| {}).unwrap();
    assert_eq!(model.asked.get(), 1);
}

#[test]
fn progress_counts_requests_and_a_limit_takes_the_first_documents() {
    let task = Task::from_file(&golden("golden_choice.yaml")).unwrap();
    let options = TaskOptions { limit: Some(2), num_fewshot: Some(0), ..TaskOptions::default() };
    let mut seen = Vec::new();
    let model = Counting::new("model");
    let result = task.evaluate(&model, None, &options, &mut |done, all| seen.push((done, all)));
    let result = result.unwrap();
    assert_eq!(seen.first(), Some(&(0, 16)));
    assert_eq!(seen.last(), Some(&(16, 16)));
    assert_eq!((result.evaluated, result.documents, result.num_fewshot), (2, 13, 0));
    assert_eq!(result.report().measures.len(), 5);
    let none = TaskOptions { limit: Some(0), ..options };
    assert!(task.evaluate(&model, None, &none, &mut |_, _| {}).is_err());
}

#[test]
fn parquet_columns_are_fields() {
    let folder = tempfile::tempdir().unwrap();
    let data = golden("table.parquet");
    let path = folder.path().join("task.yaml");
    let files = format!("{{data_files: {{test: '{}'}}}}", data.display());
    let yaml = format!(
        "task: t\ndataset_path: parquet\ndataset_kwargs: {files}\ntest_split: test\n\
         doc_to_text: '{{{{level + 1}}}} {{{{names}}}}'\ndoc_to_target: area\n"
    );
    std::fs::write(&path, yaml).unwrap();
    let task = Task::from_file(&path).unwrap();
    let options = TaskOptions { limit: Some(2), ..TaskOptions::default() };
    let result = task.evaluate(&Counting::new("m"), None, &options, &mut |_, _| {}).unwrap();
    assert_eq!(result.samples[0]["arguments"]["gen_args_0"]["arg_0"], "1 ['x', 'y']");
    assert_eq!(result.samples[1]["target"], "area 31");
}

#[test]
fn classes_of_a_classification_head_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "output_type: classification\ndoc_to_text: text\ndoc_to_target: label\n\
                doc_to_choice: [even, third, fifth]\n";
    // Lengths 4, 3, 2: logits (0, 1, 4), (1, 0, 3), (0, 2, 2): classes 2, 2, 1.
    let data = [("abcd", json!("fifth")), ("abc", json!(0)), ("ab", json!("third"))];
    let data = data.map(|(text, label)| json!({"text": text, "label": label}));
    let task = Task::from_file(&task_file(folder.path(), yaml, &data)).unwrap();
    let result =
        task.evaluate(&Counting::new("m"), None, &TaskOptions::default(), &mut |_, _| {}).unwrap();
    close(result.value("acc", "none").unwrap(), 2.0 / 3.0, SHARE_TOLERANCE);
    // F1 of the classes: 0, 1 and 2/3.
    close(result.value("macro_f1", "none").unwrap(), 5.0 / 9.0, SHARE_TOLERANCE);
}

#[test]
fn a_classifier_is_measured_as_by_the_evaluator_of_examples() {
    let (decoder, tokenizer, name) = decoder();
    let names: Vec<String> = ["animal", "place", "none"].map(String::from).to_vec();
    let head = Head::Sequence(Classes { names: names.clone(), problem: Problem::SingleLabel });
    let headed = load_with_head::<Decoder>(&assets("decoder"), &model::device(), head, 1).unwrap();
    let model = with_pad_token(headed.model, tokenizer.pad());
    let texts = ["the cat sat on", "a dog", "which bird? a bird", "mat", "the mat, the cat"];
    let data =
        texts.iter().enumerate().map(|(i, text)| json!({"text": text, "label": names[i % 3]}));
    let data: Vec<Value> = data.collect();
    let yaml = "output_type: classification\ndoc_to_text: text\ndoc_to_target: label\n";
    let written = tempfile::tempdir().unwrap();
    let task = Task::from_file(&task_file(written.path(), yaml, &data)).unwrap();
    let classifier = Classifier::new(&model, &tokenizer, &name, 16, 2).unwrap();
    let result = task.evaluate(&classifier, None, &TaskOptions::default(), &mut |_, _| {}).unwrap();

    let labels = LabelMap::new(names).unwrap();
    let problem = Problem::SingleLabel;
    let encoder = SequenceEncoder { tokenizer: tokenizer.clone(), labels, problem, max_length: 16 };
    let data = written.path().join("data.jsonl");
    let records = RecordStream::open(&data, &Columns::new()).unwrap();
    let records = records.collect::<Result<Vec<_>>>().unwrap();
    let examples = encode(&records, &encoder, &data).unwrap().examples;
    let report =
        Classification::new(examples, 2, tokenizer.pad()).unwrap().evaluate(&model).unwrap();
    for (name, other) in [("acc", "accuracy"), ("macro_f1", "macro_f1")] {
        let expected = report.measure(other).unwrap().value;
        close(result.value(name, "none").unwrap(), expected, SHARE_TOLERANCE);
    }
    // What a language model is asked, a classifier does not answer, and the reverse.
    let options = TaskOptions::default();
    let choice = Task::from_file(&golden("golden_choice.yaml")).unwrap();
    assert!(choice.evaluate(&classifier, None, &options, &mut |_, _| {}).is_err());
    let decoder = LanguageModel::new(&decoder, &tokenizer, &name, &scores(4)).unwrap();
    assert!(task.evaluate(&decoder, None, &options, &mut |_, _| {}).is_err());
}
