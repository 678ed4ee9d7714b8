//! Which partition a row belongs to: Kafka's default partitioner, so that rows sent by `lake` and by another
//! producer with the same key meet in one partition.

/// The partition of a key among `partitions` of them: murmur2, sign bit cleared, modulo.
pub fn partition_of(key: &[u8], partitions: u32) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) % partitions.max(1)) as i32
}

/// MurmurHash2, 32 bits, with the seed Kafka's clients use.
fn murmur2(data: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u32, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Kafka's Java client, as its and librdkafka's own tests state them.
    #[test]
    fn the_hash_is_kafkas() {
        let table: [(&str, i32); 9] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
            ("kafka", 0xd067_cf64_u32 as i32),
            ("1234", 0x9fc9_7b14_u32 as i32),
            ("", 0x106e_08d9),
        ];
        for (key, expected) in table {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }

    #[test]
    fn partitions_are_within_bounds_and_clear_the_sign() {
        // -973932308 & 0x7fffffff = 1173551340
        assert_eq!(partition_of(b"21", 1_000), 340);
        assert_eq!(partition_of(b"21", 1), 0);
    }
}
