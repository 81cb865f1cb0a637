//! Groups of tasks.

use super::*;

/// A folder with the tasks a and b, of multiple choice, and c, of generation, and the file of a group.
fn folder(group: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data =
        [json!({"q": "x", "c": ["a", "b"], "a": 0}), json!({"q": "xy", "c": ["a", "b"], "a": 1})];
    let choice = "output_type: multiple_choice\ndoc_to_choice: c\n";
    for (name, more) in [("a", choice), ("b", choice), ("c", "")] {
        let path =
            task_file(folder.path(), &format!("doc_to_text: q\ndoc_to_target: a\n{more}"), &data);
        let text =
            std::fs::read_to_string(&path).unwrap().replace("task: t", &format!("task: {name}"));
        std::fs::write(folder.path().join(format!("file_{name}.yaml")), text).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let path = folder.path().join("group.yaml");
    std::fs::write(&path, group).unwrap();
    (folder, path)
}

#[test]
fn a_mean_is_over_the_tasks_that_have_the_measure() {
    let text = "group: g\ntask: [a, b, c]\naggregate_metric_list: [{metric: acc}]\n";
    let (_folder, path) = folder(text);
    assert!(TaskGroup::describes(&path).unwrap());
    assert!(!TaskGroup::describes(&golden("golden_choice.yaml")).unwrap());
    let group = TaskGroup::load(&path).unwrap();
    let model = Counting::new("m");
    let run = |limit| {
        let options = TaskOptions { limit, ..TaskOptions::default() };
        let results = group.tasks().into_iter().map(|config| {
            let task = Task::new(config.clone()).unwrap();
            task.evaluate(&model, None, &options, &mut |_, _| {}).unwrap()
        });
        let results: Vec<TaskResult> = results.collect();
        let all = results_json(&results, std::slice::from_ref(&group), Map::new());
        (results, all)
    };
    let (results, all) = run(None);
    let means = &all["groups"]["g"];
    assert_eq!((&means["sample_len"], &means["sample_count"]["acc,none"]), (&json!(6), &json!(4)));
    let mean =
        results[..2].iter().map(|result| result.value("acc", "none").unwrap()).sum::<f64>() / 2.0;
    close(means["acc,none"].as_f64().unwrap(), mean, SHARE_TOLERANCE);
    assert_eq!(all["group_subtasks"]["g"], json!(["a", "b", "c"]));
    assert_eq!(all["versions"]["g"], "N/A");
    // One document has no standard error, and so has no mean of them.
    assert_eq!(run(Some(1)).1["groups"]["g"]["acc_stderr,none"], "N/A");
}

#[test]
fn what_a_group_cannot_have_names_the_place() {
    for (text, why) in [
        ("group: g\n", "group.yaml:1: the key \"task\" is missing"),
        ("group: g\ntask: []\n", "group.yaml:2: \"task\" must name at least one task"),
        ("group: g\ntask:\n  - a\n  - z\n", "group.yaml:4: task: no .yaml file of"),
        ("group: g\ntask:\n  - a\n  - a\n", "group.yaml:4: task: \"a\" occurs twice"),
        ("group: g\ntask: [g]\n", "group.yaml:1: the group contains itself"),
        ("group: g\ntask:\n  - task: a\n    num_fewshot: 1\n", "settings of its own"),
        ("group: g\ntask: a\nnum_fewshot: 2\n", "group.yaml:3: unknown key \"num_fewshot\""),
        ("group: b\ntask: a\n---\n", "second document"),
        (
            "group: g\ntask: a\naggregate_metric_list:\n  - metric: bleu\n",
            "group.yaml:4: metric \"bleu\" is in no metric_list of a task of \"g\"",
        ),
        (
            "group: g\ntask: a\naggregate_metric_list:\n  - metric: acc\n    filter_list: strict\n",
            "group.yaml:4: filter_list: no task measures \"acc\" behind \"strict\"; the filters are none",
        ),
        (
            "group: g\ntask: a\naggregate_metric_list: {metric: acc, aggregation: median}\n",
            "aggregation must be \"mean\", not \"median\"",
        ),
    ] {
        let (_folder, path) = folder(text);
        let error = TaskGroup::load(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    // A name that two files have.
    let (place, path) = folder("group: g\ntask: a\n");
    std::fs::copy(place.path().join("file_a.yaml"), place.path().join("other.yaml")).unwrap();
    let error = TaskGroup::load(&path).unwrap_err().to_string();
    assert!(error.contains("is described by both") && error.contains("other.yaml"), "{error}");
}
