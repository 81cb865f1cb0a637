//! Files that cannot be used.

use super::*;

#[test]
fn what_cannot_be_done_names_the_place() {
    let choice =
        "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: a\n";
    let good = json!({"q": "x", "c": ["a", "b"], "a": 0});
    let cases: &[(&str, Value, &str)] = &[
        ("doc_to_txt: q\n", good.clone(), "task.yaml:5: unknown key \"doc_to_txt\""),
        ("process_docs: !function utils.f\n", good.clone(), "task.yaml:5: `!function`"),
        ("output_type: guess\n", good.clone(), "task.yaml:5: output_type \"guess\""),
        ("include: missing.yaml\n", good.clone(), "task.yaml:5: include"),
        ("include: task.yaml\n", good.clone(), "included twice"),
        ("gen_prefix: 7\n", good.clone(), "task.yaml:5: \"gen_prefix\" must be"),
        ("repeats: 0\n", good.clone(), "task.yaml:5: \"repeats\" must be from 1"),
        ("group: g\n", good.clone(), "task.yaml:5: \"group\": this is a group of tasks"),
        ("num_fewshot: -1\n", good.clone(), "task.yaml:5: \"num_fewshot\""),
        ("doc_to_target: a\n", good.clone(), "\"doc_to_text\" is missing"),
        ("doc_to_text: q\ndoc_to_target: '{{a'\n", good.clone(), "task.yaml:6: doc_to_target"),
        ("doc_to_text: q\ndoc_to_target: '{{z}}'\n", good.clone(), "data.jsonl:1: "),
        ("doc_to_text: a\ndoc_to_target: a\n", good.clone(), "not a text"),
        (
            choice,
            json!({"q": "x", "c": ["a", "b"], "a": 2}),
            "data.jsonl:1: doc_to_target: the answer \"2\" is none of the 2 choices",
        ),
        (
            choice,
            json!({"q": "x", "c": ["a", "b"], "a": "c"}),
            "data.jsonl:1: doc_to_target: the answer \"c\" is none of the 2 choices",
        ),
        (
            &format!("{choice}repeats: 2\n"),
            good.clone(),
            "task.yaml:9: \"repeats\" above 1 needs output_type generate_until",
        ),
        (
            &format!("{choice}metric_list: [{{metric: f1}}]\n"),
            json!({"q": "x", "c": ["a", "b", "c"], "a": 1}),
            "data.jsonl:1: f1 is that of choice 1 of two, doc_to_choice gives 3",
        ),
        (
            &format!("{choice}metric_list: [{{metric: mcc}}]\n"),
            json!({"q": "x", "c": ["a", "b", "c"], "a": [1, 2]}),
            "data.jsonl:1: mcc compares with one right choice, doc_to_target gives 2",
        ),
        (
            "output_type: multiple_choice\ndoc_to_text: a\ndoc_to_choice: c\ndoc_to_target: q\n",
            json!({"q": "x", "c": ["a", "b"], "a": 2}),
            "doc_to_text gives 2, neither a text nor the place of one of the 2 contexts",
        ),
        (
            "doc_to_text: a\ndoc_to_choice: c\ndoc_to_target: a\n",
            good.clone(),
            "doc_to_text gives 0, the place of a context, which needs output_type multiple_choice",
        ),
        (choice, json!({"q": "x", "c": ["a", ""], "a": 0}), "data.jsonl:1: expected at least 2"),
        (choice, json!({"q": "x", "c": "ab", "a": 0}), "doc_to_choice must give a list"),
        (
            &format!("{choice}metric_list: [{{metric: bleu}}]\n"),
            good.clone(),
            "task.yaml:9: metric_list: multiple_choice has no metric \"bleu\" (only generate_until); it has acc, \
             acc_norm, acc_bytes, acc_mutual_info, f1, mcc, brier_score, exact_match",
        ),
        (
            "doc_to_text: q\ndoc_to_target: q\nmetric_list: [{metric: acc}]\n",
            good.clone(),
            "task.yaml:7: metric_list: generate_until has no metric \"acc\" (only multiple_choice, loglikelihood, \
             classification); it has exact_match",
        ),
        (
            "doc_to_text: q\ndoc_to_target: q\nmetric_list: [{metric: best}]\n",
            good.clone(),
            "task.yaml:7: metric_list: generate_until has no metric \"best\"; it has exact_match",
        ),
        (
            &format!("{choice}metric_list:\n  - metric: acc\n    aggregation: median\n"),
            good.clone(),
            "aggregated by \"mean\"",
        ),
        (&format!("{choice}num_fewshot: 1\n"), good.clone(), "1 examples are wanted"),
        (
            "doc_to_text: q\ndoc_to_target: q\nfilter_list:\n  - name: f\n    filter:\n      - function: regex\n        regex_pattern: '('\n",
            good.clone(),
            "task.yaml:10: the pattern",
        ),
        (
            "doc_to_text: q\ndoc_to_target: q\nrepeats: 3\nfilter_list:\n  - name: f\n    filter: [{function: take_first_k, k: 4}]\n",
            good.clone(),
            "task.yaml:9: the filter \"f\": take_first_k takes 4 of 3 answers",
        ),
        (
            "doc_to_text: q\ndoc_to_target: q\nrepeats: 3\nfilter_list:\n  - name: f\n    filter: [{function: take_first_k, k: 2}]\n",
            good.clone(),
            "task.yaml:9: the filter \"f\": 2 answers are left; end with take_first",
        ),
        (
            "doc_to_text: q\ndoc_to_target: q\ngeneration_kwargs: {do_sample: true}\n",
            good,
            "task.yaml:7: do_sample",
        ),
    ];
    for (yaml, row, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = task_file(folder.path(), yaml, std::slice::from_ref(row));
        let error = Task::from_file(&path).and_then(|task| {
            let model = Counting::new("m");
            task.evaluate(&model, None, &TaskOptions::default(), &mut |_, _| {})
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why), "{yaml}: {error}");
    }
}

#[test]
fn a_number_is_a_text_or_a_place_but_not_both() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "output_type: multiple_choice\ndoc_to_text: a\ndoc_to_choice: c\ndoc_to_target: q\n";
    let data =
        [json!({"q": "x", "c": ["a", "b"], "a": 1}), json!({"q": "x", "c": ["a", "b"], "a": "b"})];
    let task = Task::from_file(&task_file(folder.path(), yaml, &data)).unwrap();
    let options = TaskOptions::default();
    let error = task.evaluate(&Counting::new("m"), None, &options, &mut |_, _| {}).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("data.jsonl:2: doc_to_text gives the place of a context for some"),
        "{error}"
    );
}

#[test]
fn a_missing_key_and_missing_data_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.yaml");
    let load = |yaml: &str| {
        std::fs::write(&path, yaml).unwrap();
        Task::from_file(&path).map(|_| ()).unwrap_err().to_string()
    };
    let head = "task: t\ndataset_path: json\n";
    let data = "dataset_kwargs: {data_files: {test: data.jsonl}}\n";
    let fields = "doc_to_text: q\ndoc_to_target: a\n";
    for (yaml, why) in [
        (format!("dataset_path: json\n{data}{fields}"), "task.yaml:1: the key \"task\" is missing"),
        (format!("task: t\n{data}{fields}"), "task.yaml:1: the key \"dataset_path\" is missing"),
        (format!("{head}{fields}"), "task.yaml:1: dataset_kwargs.data_files is missing"),
        (format!("{head}{data}{fields}"), "neither test_split nor validation_split is given"),
        (format!("{head}{data}{fields}test_split: best\n"), "there is no split \"best\""),
        (format!("{head}{data}doc_to_text: q\ntest_split: test\n"), "\"doc_to_target\" is missing"),
        (format!("{head}{data}{fields}test_split: test\n"), "the data file data.jsonl is neither"),
        (
            format!("{head}{data}{fields}test_split: test\noutput_type: multiple_choice\n"),
            "\"doc_to_choice\" is missing",
        ),
    ] {
        let error = load(&yaml);
        assert!(error.contains(why) && error.contains("task.yaml"), "{yaml}: {error}");
    }
    for empty in ["", "\n\n"] {
        std::fs::write(folder.path().join("data.jsonl"), empty).unwrap();
        let error = load(&format!("{head}{data}{fields}test_split: test\n"));
        assert!(error.contains("data.jsonl") && error.contains("no record"), "{error}");
    }
}
