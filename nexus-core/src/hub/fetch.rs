//! All files of a model, from the hub or from the cache.

use super::cache::Cache;
use super::client::Client;
use super::download::Download;
use super::files::{ADAPTER_CONFIG, CONFIG, INDEX, check_names, select};
use super::model_name::{is_commit, percent_encode};
use super::{Hub, ModelName, Progress, hub_error};
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The model's folder in the cache, without asking the hub.
pub(super) fn cached(cache: &Cache<'_>) -> Result<PathBuf> {
    let commit = cache.commit()?.ok_or_else(|| cache.not_cached("the revision"))?;
    if !cache.has(&commit, CONFIG) && !cache.has(&commit, ADAPTER_CONFIG) {
        return Err(cache.not_cached(CONFIG));
    }
    match cache.missing_weights(&commit)? {
        None => Ok(cache.snapshot(&commit)),
        Some(file) => Err(cache.not_cached(&file)),
    }
}

/// The model's folder in the cache after fetching what it lacks.
pub(super) fn fetched(
    hub: &Hub,
    model: &ModelName,
    cache: &Cache<'_>,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<PathBuf> {
    let client = Client::new(hub)?;
    let listing = client.listing(model)?;
    let commit = listing.commit.as_str();
    if !is_commit(commit) || model.commit().is_some_and(|wanted| wanted != commit) {
        let why = format!("the hub answered for {commit:?}, which is not the commit asked for");
        return Err(hub_error(model.to_string(), why));
    }
    check_names(model, &listing.names)?;
    let mut files = Files { hub, model, cache, client: &client, commit, progress };
    let chosen = select(model, &listing.names)?;
    for name in &chosen {
        files.fetch(name)?;
    }
    if chosen.iter().any(|name| name == INDEX) {
        for shard in cache.shards(commit)? {
            if !listing.names.contains(&shard) {
                let why = format!("{INDEX} names {shard}, which the repository does not have");
                return Err(hub_error(model.to_string(), why));
            }
            files.fetch(&shard)?;
        }
    }
    cache.note_absent(commit, &listing.names);
    // Last, so that the branch leads to a folder that is whole also when this call is interrupted.
    cache.set_commit(commit)?;
    Ok(cache.snapshot(commit))
}

/// The files of one commit.
struct Files<'a> {
    hub: &'a Hub,
    model: &'a ModelName,
    cache: &'a Cache<'a>,
    client: &'a Client<'a>,
    commit: &'a str,
    progress: &'a mut dyn FnMut(&Progress<'_>),
}

impl Files<'_> {
    /// Fetches one file unless it is in the cache.
    fn fetch(&mut self, name: &str) -> Result<()> {
        if self.cache.has(self.commit, name) {
            return Ok(());
        }
        let Self { hub, model, cache, client, commit, .. } = *self;
        let what = format!("{model}: {name}");
        let encoded = percent_encode(name);
        let url = format!("{}/{}/resolve/{commit}/{encoded}", hub.endpoint, model.id);
        let head = client.head(&what, &url)?;
        if head.commit != commit {
            let why = format!("the hub answered for commit {:?} instead of {commit}", head.commit);
            return Err(hub_error(what, why));
        }
        let blob = cache.blob(&head.etag);
        let folder = blob.parent().unwrap_or(&blob);
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        tag(&hub.cache);
        let _lock = cache.lock(&head.etag)?;
        // Content that another commit shares, or that another program fetched while this one waited.
        let there = fs::metadata(&blob).is_ok_and(|found| found.len() == head.size);
        if !there {
            let partial = cache.blob(&format!("{}.incomplete", head.etag));
            let progress = &mut *self.progress;
            Download { client, what: &what, name, url: &url, head: &head, progress }
                .run(&partial)?;
            fs::rename(&partial, &blob).map_err(Error::io("rename", &partial))?;
        }
        cache.link(commit, name, &head.etag)
    }
}

/// Marks the cache for backup programs, which then leave it out (bford.info/cachedir).
fn tag(cache: &Path) {
    let path = cache.join("CACHEDIR.TAG");
    if !path.exists() {
        // A convenience of the cache, never a reason to fail.
        let _ = fs::write(path, "Signature: 8a477f597d28d172789f06886806bc55\n");
    }
}
