//! The wire format of protobuf messages, as far as SentencePiece models use it.
//!
//! Nothing is copied or allocated: a value is a slice of the input, checked against its end.

/// A field's value; the meaning of the bytes is the caller's business.
pub(super) enum Wire<'b> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'b [u8]),
}

/// The fields of one protobuf message; ends after the first error.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>), String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let field = read_field(&mut rest)
                .ok_or_else(|| format!("cut short or damaged {} bytes before an end", rest.len()));
            if field.is_err() {
                rest = &[];
            }
            field
        })
    })
}

fn read_field<'b>(rest: &mut &'b [u8]) -> Option<(u64, Wire<'b>)> {
    let key = read_varint(rest)?;
    let wire = match key & 7 {
        0 => Wire::Varint(read_varint(rest)?),
        1 => rest.split_off(..8).map(|_| Wire::Fixed64)?,
        2 => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            Wire::Bytes(rest.split_off(..length)?)
        }
        5 => Wire::Fixed32(u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?)),
        _ => return None,
    };
    Some((key >> 3, wire))
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
