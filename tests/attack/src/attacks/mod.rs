//! The attacks, one file each.

use crate::attacker::Attack;

mod plain_load;

pub use plain_load::PLAIN;

/// Declares the files and lists what is in them.
macro_rules! attacks {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*

        /// Every attack.
        pub const LIST: &[Attack] = &[$($name::ATTACK),*];
    };
}

attacks! {
    all_held,
    bare_datagrams,
    blocked_sections,
    blocked_too_many,
    bodies_never_sent,
    cancel_pushes,
    capacity_flips,
    connect_close,
    connection_flood,
    content_length,
    control_frames,
    cookie_crumbs,
    early_datagrams,
    early_streams,
    empty_capsules,
    empty_data,
    empty_datagrams,
    empty_requests,
    endless_tail,
    get_reset,
    get_stop,
    get_stop_deaf,
    get_stop_fat,
    goaways,
    half_heads,
    handshake_flood,
    huffman_bomb,
    huge_head,
    idle_pings,
    junk_udp,
    late_stop,
    malformed,
    many_fields,
    many_settings,
    max_push_ids,
    migration_storm,
    never_accepted,
    over_limit,
    page_pipeline,
    priority_updates,
    qpack_bomb,
    qpack_duplicates,
    qpack_inserts,
    responses_never_read,
    responses_unread_wide,
    second_settings,
    session_capsules,
    session_close,
    session_finish,
    session_malformed,
    session_reset,
    sessions_held,
    silent_downloads,
    slow_everything,
    stop_critical,
    stray_datagrams,
    stream_cancellations,
    stream_reset,
    stream_stop,
    tiny_data,
    tiny_datagrams,
    unanswered_connects,
    unanswered_sessions,
    unknown_capsules,
    unknown_frames,
    unknown_streams,
    unread_bodies,
    unread_bodies_full,
    unread_files,
    unread_files_wide,
    unread_streams,
    untyped_streams,
}
