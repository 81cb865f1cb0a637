//! One file: fetched, resumed after an interruption, and checked.

use super::Progress;
use super::client::{Client, FileHead};
use super::hub_error;
use super::model_name::is_hex;
use super::retry::Failure;
use super::status::text;
use crate::{Error, Result};
use sha2::Digest;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file to fetch.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client<'a>,
    /// The model and the file, for errors.
    pub(super) what: &'a str,
    /// The file's name in the repository.
    pub(super) name: &'a str,
    pub(super) url: &'a str,
    pub(super) head: &'a FileHead,
    pub(super) progress: &'a mut dyn FnMut(&Progress<'_>),
}

impl Download<'_> {
    /// Fetches what is missing in the file `partial`, checks the whole and writes it through to the disk.
    ///
    /// After an error `partial` holds what a later call can go on from, or nothing.
    pub(super) fn run(&mut self, partial: &Path) -> Result<()> {
        let io = |source| Error::io("write", partial)(source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(partial)
            .map_err(io)?;
        let mut best = file.metadata().map_err(io)?.len();
        let mut resumed = best > 0;
        let mut patience = self.client.patience(self.what);
        loop {
            if let Err(failure) = self.receive(&mut file, partial) {
                let length = file.metadata().map_err(io)?.len();
                // Measured against the longest state, so that a server without ranges cannot go on for ever.
                if length > best {
                    best = length;
                    patience.renew();
                }
                patience.wait(failure)?;
                continue;
            }
            match check(&mut file, self.head).map_err(Error::io("read", partial))? {
                None => return file.sync_all().map_err(io),
                Some(why) => {
                    file.set_len(0).map_err(io)?;
                    best = 0;
                    // The beginning may come from another program or from before a power cut.
                    if !std::mem::take(&mut resumed) {
                        return Err(hub_error(self.what, why));
                    }
                }
            }
        }
    }

    /// One attempt to get the bytes that `file` lacks.
    fn receive(&mut self, file: &mut File, partial: &Path) -> Result<(), Failure> {
        let write = |source| Failure::from(Error::io("write", partial)(source));
        let total = self.head.size;
        let mut done = file.metadata().map_err(write)?.len();
        if done > total {
            file.set_len(0).map_err(write)?;
            done = 0;
        }
        self.report(done);
        if done == total {
            return Ok(());
        }
        let response = self.client.get(self.what, self.url, done)?;
        let range = text(response.headers(), "content-range").unwrap_or_default();
        let continues = range.strip_prefix("bytes ").and_then(|range| range.split_once('-'));
        match response.status().as_u16() {
            206 if continues.is_some_and(|(from, _)| from.parse() == Ok(done)) => {}
            // The server sends the whole file whatever is asked for.
            200 => done = 0,
            _ => {
                file.set_len(0).map_err(write)?;
                return Err(Failure::passing(format!(
                    "{}: another range than asked for",
                    self.url
                )));
            }
        }
        let length = text(response.headers(), "content-length").and_then(|v| v.parse::<u64>().ok());
        if let Some(length) = length.filter(|length| done.checked_add(*length) != Some(total)) {
            return Err(self.wrong_size(done.saturating_add(length)));
        }
        file.set_len(done).map_err(write)?;
        file.seek(SeekFrom::Start(done)).map_err(write)?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = body.read(&mut buffer).map_err(|why| {
                Failure::passing(format!("{}: {why} after {done} of {total} bytes", self.url))
            })?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > total {
                file.set_len(0).map_err(write)?;
                return Err(self.wrong_size(done));
            }
            file.write_all(&buffer[..read]).map_err(write)?;
            self.report(done);
        }
        if done < total {
            let why = format!("{}: ended after {done} of {total} bytes", self.url);
            return Err(Failure::passing(why));
        }
        Ok(())
    }

    fn report(&mut self, done: u64) {
        (self.progress)(&Progress { file: self.name, done, total: self.head.size });
    }

    fn wrong_size(&self, found: u64) -> Failure {
        let why = format!(
            "wrong size: {} bytes announced, {found} or more sent; the file is not the one of this commit",
            self.head.size
        );
        hub_error(self.what, why).into()
    }
}

/// Compares a file with its ETag; the difference in words, or none.
fn check(file: &mut File, head: &FileHead) -> std::io::Result<Option<String>> {
    let (kind, found) = if is_hex(&head.etag, 64) {
        ("SHA-256", digest(file, sha2::Sha256::new())?)
    } else if is_hex(&head.etag, 40) {
        // The name that git gives to a file's content.
        let header = format!("blob {}\0", head.size);
        ("git SHA-1", digest(file, sha1::Sha1::new_with_prefix(header))?)
    } else {
        // A mirror's own ETag: the size, which is right here, is all there is to compare.
        return Ok(None);
    };
    let differs =
        format!("the checksum does not match: {kind} {} announced, {found} found", head.etag);
    Ok((found != head.etag).then_some(differs))
}

fn digest(file: &mut File, mut hash: impl Digest) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
