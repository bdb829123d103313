//! Parses the `stat` file of a process or thread. Format: `proc_pid_stat(5)`. Pure.

/// Values of a `stat` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcStat {
    /// Process or thread id.
    pub pid: i32,
    /// Name, at most 15 bytes of it.
    pub name: String,
    /// `R` running, `S` sleeping, `D` in uninterruptible sleep, `T` or `t` stopped, `Z` zombie, `X`
    /// dead.
    pub state: char,
    /// Process id of the parent.
    pub parent: i32,
    /// Processor time of the process and of its children that have ended, in clock ticks.
    pub ticks: Option<u64>,
    /// Start time in clock ticks since boot. Together with the id it identifies a process, because
    /// the kernel reuses ids.
    pub started: Option<u64>,
}

impl ProcStat {
    /// Parses the text of a `stat` file. Fields after the parent are optional.
    #[must_use]
    pub fn parse(text: &str) -> Option<ProcStat> {
        // The name is in parentheses, and can itself contain blanks and parentheses.
        let (head, fields) = text.rsplit_once(')')?;
        let (pid, name) = head.split_once(" (")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // Field 3 of the manual page, the state, is the first one here.
        let field = |number: usize| fields.get(number - 3).copied();
        let ticks = |number: usize| field(number)?.parse::<u64>().ok();
        // The kernel prints the times of children as signed numbers.
        let child_ticks =
            |number: usize| Some(field(number)?.parse::<i64>().ok()?.max(0).unsigned_abs());
        Some(ProcStat {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            ticks: (|| {
                Some(
                    ticks(14)?
                        .saturating_add(ticks(15)?)
                        .saturating_add(child_ticks(16)?)
                        .saturating_add(child_ticks(17)?),
                )
            })(),
            started: ticks(22),
        })
    }

    /// Whether it still runs: a zombie has ended and only waits for its parent.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_after_a_name_that_contains_anything() {
        let text = "42 (a) S 1 (b) D 7 400 400 0 -1 4194560 189 1201 0 2 100 3 5 -6 20 0 1 0 \
                    775345 6459392 483 18446744073709551615\n";

        let stat = ProcStat::parse(text).unwrap();

        assert_eq!((stat.pid, stat.name.as_str()), (42, "a) S 1 (b"));
        assert_eq!((stat.state, stat.parent), ('D', 7));
        assert_eq!((stat.ticks, stat.started), (Some(108), Some(775_345)));
        assert!(stat.is_alive());
    }

    #[test]
    fn a_zombie_is_not_alive_and_later_fields_are_optional() {
        let stat = ProcStat::parse("2 (a b) Z 0").unwrap();

        assert!(!stat.is_alive());
        assert_eq!((stat.ticks, stat.started), (None, None));
    }

    #[test]
    fn other_text_is_rejected() {
        for text in [
            "",
            "1",
            "1 (x",
            "1 (x)",
            "1 (x) S",
            "x (x) S 1",
            ") S 1",
            "(x) S 1",
        ] {
            assert_eq!(ProcStat::parse(text), None, "{text}");
        }
    }
}
