//! How RocksDB is set: nothing that was acknowledged is dropped in silence, and modest memory.

use super::Work;
use crate::limits::{DATABASE_BUFFERS_BYTES, WAL_BYTES_MAX, WRITE_BUFFER_BYTES};
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

/// Of a whole database.
pub(super) fn database_options(work: Work) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // The default stops at the first bad record and drops what was acknowledged behind it. Here only a torn
    // tail is forgiven, and the watermark tells a torn tail from a lost one.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_manual_wal_flush(false);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_db_write_buffer_size(DATABASE_BUFFERS_BYTES);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(3);
    options.set_max_log_file_size(4 << 20);
    options.set_log_level(LogLevel::Warn);
    if work == Work::Inline {
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
    }
    options
}

/// Of one table.
pub(super) fn table_options(cache: &Cache, work: Work) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    // Most of what is stored is ciphertext and hashes, which no compression makes smaller.
    options.set_compression_type(DBCompressionType::None);
    options.set_disable_auto_compactions(work == Work::Inline);
    options
}
