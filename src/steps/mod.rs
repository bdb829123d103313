//! Steps: one file each; what runs, what it needs, what it leaves. Knows nothing of how steps are
//! scheduled or shown.
