//! Responses on disk: a second run asks nothing again, and a run that was killed goes on where it was.

use super::request::{Response, sha256};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// No line is longer; a longer one is damaged.
const MAX_LINE: u64 = 16 << 20;

/// Responses by the hash of what was asked of which model, in a file that grows by one JSON object a line.
///
/// Each line carries a checksum. One that is damaged (the last one of a run that was killed, at most, unless the disk is
/// at fault) is not used; its number is in [`damaged`](Self::damaged), and what it stood for is asked again. One program
/// at a time uses a file.
#[derive(Debug)]
pub struct ResponseCache {
    path: PathBuf,
    file: File,
    known: HashMap<String, Response>,
    damaged: Vec<usize>,
    /// Whether the file ends within a line.
    unfinished: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    response: Response,
    sum: String,
}

impl ResponseCache {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Refused`] while another program uses it.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(Error::Refused(format!(
                    "{path} is in use by another program; name another file"
                )));
            }
            Err(TryLockError::Error(why)) => return Err(Error::io("lock", path)(why)),
        }
        let mut cache = Self {
            path: path.into(),
            file,
            known: HashMap::new(),
            damaged: Vec::new(),
            unfinished: false,
        };
        cache.read()?;
        Ok(cache)
    }

    fn read(&mut self) -> Result<()> {
        let mut reader = BufReader::new(&self.file);
        let (mut text, mut number) = (Vec::new(), 0);
        loop {
            text.clear();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut text);
            if read.map_err(Error::io("read", &self.path))? == 0 {
                return Ok(());
            }
            number += 1;
            self.unfinished = text.last() != Some(&b'\n');
            if text.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) if checksum(&line.key, &line.response)? == line.sum => {
                    self.known.insert(line.key, line.response);
                }
                _ => self.damaged.push(number),
            }
        }
    }

    /// Number of responses.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The numbers, from 1, of the lines that were damaged when the file was opened.
    pub fn damaged(&self) -> &[usize] {
        &self.damaged
    }

    pub(super) fn get(&self, key: &str) -> Option<&Response> {
        self.known.get(key)
    }

    pub(super) fn put(&mut self, key: &str, response: &Response) -> Result<()> {
        let sum = checksum(key, response)?;
        let line = Line { key: key.into(), response: response.clone(), sum };
        let line = serde_json::to_string(&line).map_err(|why| Error::format(&self.path, why))?;
        let before = if std::mem::take(&mut self.unfinished) { "\n" } else { "" };
        let line = format!("{before}{line}\n");
        self.file.write_all(line.as_bytes()).map_err(Error::io("write", &self.path))?;
        self.known.insert(key.into(), response.clone());
        Ok(())
    }
}

fn checksum(key: &str, response: &Response) -> Result<String> {
    let json =
        serde_json::to_string(&(key, response)).map_err(|why| Error::Refused(why.to_string()))?;
    let mut sum = sha256(json.as_bytes());
    sum.truncate(16);
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likelihood(sum: f64) -> Response {
        Response::LogLikelihood { sum, greedy: sum > -1.0 }
    }

    #[test]
    fn responses_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.jsonl");
        let responses = [
            likelihood(-1.0 / 3.0),
            Response::LogLikelihoodRolling(-1e-300),
            Response::Text("a\n\"é\u{2028}".into()),
            Response::Logits(vec![0.1, -3.4e38]),
        ];
        {
            let mut cache = ResponseCache::open(&path).unwrap();
            assert!(cache.is_empty());
            for (i, response) in responses.iter().enumerate() {
                cache.put(&i.to_string(), response).unwrap();
            }
            assert!(ResponseCache::open(&path).unwrap_err().to_string().contains("in use"));
        }
        let cache = ResponseCache::open(&path).unwrap();
        assert_eq!((cache.len(), cache.damaged()), (4, &[][..]));
        for (i, response) in responses.iter().enumerate() {
            assert_eq!(cache.get(&i.to_string()), Some(response));
        }
    }

    #[test]
    fn a_damaged_line_is_named_and_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.jsonl");
        {
            let mut cache = ResponseCache::open(&path).unwrap();
            for i in 0..4 {
                cache.put(&i.to_string(), &likelihood(-f64::from(i))).unwrap();
            }
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Another number on line 2, bytes that are no text on line 3, an end within line 4.
        let mut lines: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
        lines[1] = String::from_utf8(lines[1].clone()).unwrap().replace("-1.0", "-1.5").into();
        lines[2][5] = 0xff;
        lines[3].truncate(30);
        std::fs::write(&path, lines.join(&b'\n')).unwrap();
        {
            let mut cache = ResponseCache::open(&path).unwrap();
            assert_eq!(cache.damaged(), [2, 3, 4]);
            assert_eq!((cache.len(), cache.get("1")), (1, None));
            cache.put("1", &likelihood(-9.0)).unwrap();
        }
        // What is written after an end within a line is a line of its own.
        let cache = ResponseCache::open(&path).unwrap();
        assert_eq!(cache.damaged(), [2, 3, 4]);
        assert_eq!(cache.get("1"), Some(&likelihood(-9.0)));
    }
}
