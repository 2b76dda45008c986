//! Values as the octets of a block: numbers as LEB128, strings behind their length, a CRC-32 behind all of it.

use super::rows::damaged;
use crate::journal::JournalResult;

/// Octets of the CRC-32 that ends a block.
const SUM_OCTETS: usize = 4;

/// Writes one block.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(octets: usize) -> Self {
        Self(Vec::with_capacity(octets))
    }

    pub(super) fn octet(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Small when it is near 0 on either side.
    pub(super) fn signed(&mut self, value: i64) {
        self.number((value.wrapping_shl(1) ^ (value >> 63)) as u64);
    }

    pub(super) fn octets(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Octets whose number the reader knows.
    pub(super) fn fixed(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// A value that may be missing.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.octet(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Ends the block. `place` says where it belongs: what is read from elsewhere is damage.
    pub(super) fn end(mut self, place: &[i64]) -> Vec<u8> {
        let sum = sum(&self.0, place);
        self.0.extend_from_slice(&sum.to_le_bytes());
        self.0
    }
}

/// Reads one block from its first octet to its last.
pub(super) struct Reader {
    block: Vec<u8>,
    at: usize,
}

impl Reader {
    /// Begins with a block that [`Writer::end`] has ended for the same `place`.
    pub(super) fn new(mut block: Vec<u8>, place: &[i64]) -> JournalResult<Self> {
        let (content, told) = block.split_last_chunk::<SUM_OCTETS>().ok_or_else(cut)?;
        let (length, is_whole) = (content.len(), *told == sum(content, place).to_le_bytes());
        block.truncate(length);
        if !is_whole {
            return Err(damaged("the sum of a block or batch is wrong"));
        }
        Ok(Self { block, at: 0 })
    }

    pub(super) fn octet(&mut self) -> JournalResult<u8> {
        let octet = *self.block.get(self.at).ok_or_else(cut)?;
        self.at += 1;
        Ok(octet)
    }

    pub(super) fn number(&mut self) -> JournalResult<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let octet = self.octet()?;
            value |= u64::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a number without an end"))
    }

    pub(super) fn signed(&mut self) -> JournalResult<i64> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn octets(&mut self) -> JournalResult<&[u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| cut())?;
        let end = self.at.checked_add(length).ok_or_else(cut)?;
        let part = self.block.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(part)
    }

    pub(super) fn text(&mut self) -> JournalResult<String> {
        String::from_utf8(self.octets()?.to_vec()).map_err(|_| damaged("text that is no UTF-8"))
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> JournalResult<[u8; N]> {
        let part = self.block.get(self.at..).and_then(|left| left.first_chunk()).ok_or_else(cut)?;
        self.at += N;
        Ok(*part)
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> JournalResult<T>,
    ) -> JournalResult<Option<T>> {
        match self.octet()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(damaged("a mark that is neither there nor missing")),
        }
    }

    /// True when everything was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.block.len()
    }
}

fn sum(octets: &[u8], place: &[i64]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    place.iter().for_each(|part| sum.update(&part.to_le_bytes()));
    sum.update(octets);
    sum.finalize()
}

fn cut() -> crate::journal::JournalError {
    damaged("a block or batch is cut")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(unsigned: u64, signed: i64) {
            let mut w = Writer::default();
            w.number(unsigned);
            w.signed(signed);
            let mut r = Reader::new(w.end(&[1]), &[1]).unwrap();
            prop_assert_eq!((r.number().unwrap(), r.signed().unwrap()), (unsigned, signed));
            prop_assert!(r.is_at_end());
        }

        #[test]
        fn whatever_stands_in_a_block_is_read_without_a_panic(octets: Vec<u8>) {
            let mut w = Writer::default();
            w.fixed(&octets);
            let block = w.end(&[]);
            let reads: [fn(&mut Reader) -> bool; 5] = [
                |r| r.number().is_ok(),
                |r| r.octets().is_ok(),
                |r| r.text().is_ok(),
                |r| r.fixed::<32>().is_ok(),
                |r| r.option(Reader::octet).is_ok(),
            ];
            for read in reads {
                let mut r = Reader::new(block.clone(), &[]).unwrap();
                while !r.is_at_end() && read(&mut r) {}
            }
        }
    }

    #[test]
    fn ends_of_the_range_take_ten_octets_and_come_back() {
        for value in [i64::MIN, -1, 0, 1, i64::MAX] {
            let mut w = Writer::default();
            w.signed(value);
            assert_eq!(Reader::new(w.end(&[]), &[]).unwrap().signed().unwrap(), value);
        }
    }

    #[test]
    fn a_flipped_bit_a_cut_end_and_a_block_of_another_place_are_damage() {
        let mut w = Writer::default();
        w.octets(b"twenty years of mail");
        let block = w.end(&[1, 2]);
        assert!(Reader::new(block.clone(), &[1, 2]).is_ok());
        assert!(Reader::new(block.clone(), &[2, 1]).is_err());
        for bit in 0..block.len() * 8 {
            let mut broken = block.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Reader::new(broken, &[1, 2]).is_err(), "{bit}");
        }
        for length in 0..block.len() {
            assert!(Reader::new(block[..length].to_vec(), &[1, 2]).is_err(), "{length}");
        }
    }
}
