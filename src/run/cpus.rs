//! How many CPUs this process may use: those of its affinity, which knows `taskset` and cpusets, and no
//! more than the control groups above it leave it by quota.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// CPUs for as many threads that are busy all the time; a share of one counts as a whole one.
pub(super) fn usable() -> NonZeroUsize {
    usable_by(&|file| fs::read_to_string(file).ok())
}

/// The same by what the files of `/proc` and `/sys` hold.
fn usable_by(read: &dyn Fn(&Path) -> Option<String>) -> NonZeroUsize {
    let proc = |name: &str| read(&Path::new("/proc/self").join(name)).unwrap_or_default();
    let allowed = allowed(&proc("status")).or_else(|| std::thread::available_parallelism().ok());
    let (groups, mounts) = (proc("cgroup"), proc("mountinfo"));
    let quotas = mounts.lines().filter_map(Mount::parse).flat_map(|mount| {
        let folder = mount.folder_of(&groups);
        let above = folder.iter().flat_map(|folder| folder.ancestors());
        let within = above.take_while(|folder| folder.starts_with(mount.point));
        let quotas = within.filter_map(|folder| mount.quota(folder, read));
        quotas.min()
    });
    let all = allowed.into_iter().chain(quotas);
    all.min().unwrap_or(NonZeroUsize::MIN)
}

/// The CPUs that the scheduler may choose from: `0-3,8` are five.
fn allowed(status: &str) -> Option<NonZeroUsize> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut count = 0_usize;
    for range in list.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        count = count.checked_add(to.checked_sub(from)?.checked_add(1)?)?;
    }
    NonZeroUsize::new(count)
}

/// Where a hierarchy of control groups is seen that may limit CPU time.
struct Mount<'a> {
    is_v2: bool,
    /// The group that is seen at `point`: not the topmost one within a container.
    root: &'a Path,
    point: &'a Path,
}

impl<'a> Mount<'a> {
    /// One line of `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (Path::new(mount.next()?), Path::new(mount.next()?));
        let mut system = system.split(' ');
        let is_v2 = match (system.next()?, system.nth(1)?) {
            ("cgroup2", _) => true,
            ("cgroup", options) if options.split(',').any(|option| option == "cpu") => false,
            _ => return None,
        };
        Some(Self { is_v2, root, point })
    }

    /// Where this process's group is, by the lines of `/proc/self/cgroup`, see cgroups(7).
    fn folder_of(&self, groups: &str) -> Option<PathBuf> {
        let group = groups.lines().find_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, path) = line.split_once(':')?;
            let is_ours = if self.is_v2 {
                controllers.is_empty()
            } else {
                controllers.split(',').any(|name| name == "cpu")
            };
            is_ours.then(|| Path::new(path))
        })?;
        // A path that does not lie within what is seen is one of another namespace.
        let within = group.strip_prefix(self.root).ok();
        let within = within.filter(|path| !path.components().any(|part| part.as_os_str() == ".."));
        Some(within.map_or_else(|| self.point.to_owned(), |path| self.point.join(path)))
    }

    /// What one group leaves its processes, if it limits them.
    fn quota(&self, group: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<NonZeroUsize> {
        let time = |text: &str| text.trim().parse::<u64>().ok();
        // `max`, and -1 with version 1, is no limit.
        let (quota, period) = if self.is_v2 {
            let limit = read(&group.join("cpu.max"))?;
            let (quota, period) = limit.split_once(' ')?;
            (time(quota)?, time(period)?)
        } else {
            let file = |name: &str| time(&read(&group.join(name))?);
            (file("cpu.cfs_quota_us")?, file("cpu.cfs_period_us")?)
        };
        if period == 0 {
            return None;
        }
        let cpus = usize::try_from(quota.div_ceil(period)).unwrap_or(usize::MAX);
        Some(NonZeroUsize::new(cpus).unwrap_or(NonZeroUsize::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      34 25 0:30 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n";
    const V1_GROUPS: &str = "4:memory:/pod/one\n3:cpu,cpuacct:/pod/one\n";

    /// What a machine of eight CPUs tells, whose groups are limited so.
    fn found(mounts: &str, groups: &str, limits: &[(&str, &str)]) -> usize {
        let files = [
            (
                "/proc/self/status",
                "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n",
            ),
            ("/proc/self/mountinfo", mounts),
            ("/proc/self/cgroup", groups),
        ];
        let read = |file: &Path| {
            let mut all = files.iter().chain(limits);
            let found = all.find(|(path, _)| Path::new(path) == file);
            found.map(|(_, text)| (*text).to_owned())
        };
        usable_by(&read).get()
    }

    #[test]
    fn affinity_is_counted() {
        for (list, cpus) in [
            ("0", Some(1)),
            ("3", Some(1)),
            ("0-3", Some(4)),
            ("0-3,8", Some(5)),
            ("0,2,4-5", Some(4)),
            ("", None),
            ("3-1", None),
            ("0-x", None),
            ("0-18446744073709551615", None),
        ] {
            let status = format!("Name:\tshardlet\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n");
            assert_eq!(allowed(&status).map(NonZeroUsize::get), cpus, "{list:?}");
        }
        assert_eq!(allowed("Name:\tshardlet\n"), None);
    }

    #[test]
    fn a_quota_of_version_2_counts_rounded_up() {
        for (limit, cpus) in [
            ("max 100000\n", 8),
            ("100000 100000\n", 1),
            ("100001 100000\n", 2),
            ("150000 100000\n", 2),
            ("20000 100000\n", 1),
            ("0 100000\n", 1),
            ("350000 100000\n", 4),
            ("9900000 100000\n", 8),
            ("150000 0\n", 8),
            ("150000\n", 8),
            ("", 8),
        ] {
            let limits = [("/sys/fs/cgroup/pod/one/cpu.max", limit)];
            assert_eq!(found(V2, "0::/pod/one\n", &limits), cpus, "{limit:?}");
        }
    }

    #[test]
    fn a_quota_of_version_1_counts_rounded_up() {
        for (quota, period, cpus) in [
            ("-1\n", "100000\n", 8),
            ("250000\n", "100000\n", 3),
            ("50000\n", "50000\n", 1),
            ("10000\n", "100000\n", 1),
            ("", "100000\n", 8),
        ] {
            let limits = [
                ("/sys/fs/cgroup/cpu,cpuacct/pod/one/cpu.cfs_quota_us", quota),
                (
                    "/sys/fs/cgroup/cpu,cpuacct/pod/one/cpu.cfs_period_us",
                    period,
                ),
            ];
            assert_eq!(
                found(V1, V1_GROUPS, &limits),
                cpus,
                "{quota:?} of {period:?}"
            );
        }
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let limits = [
            ("/sys/fs/cgroup/pod/one/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/pod/cpu.max", "210000 100000\n"),
            ("/sys/fs/cgroup/cpu.max", "500000 100000\n"),
            ("/sys/fs/cpu.max", "100000 100000\n"),
        ];
        assert_eq!(found(V2, "0::/pod/one\n", &limits), 3);
    }

    /// A container sees its own group at the mount point, whether its path is told from there or from
    /// the machine's root.
    #[test]
    fn a_container_finds_its_own_group() {
        let limits = [("/sys/fs/cgroup/cpu.max", "200000 100000\n")];
        let bound = V2.replace(" / /sys", " /docker/abc /sys");
        for (mounts, groups) in [
            (V2, "0::/\n"),
            (&*bound, "0::/docker/abc\n"),
            (&*bound, "0::/elsewhere\n"),
            (V2, "0::/../../elsewhere\n"),
        ] {
            assert_eq!(found(mounts, groups, &limits), 2, "{mounts} {groups}");
        }
        assert_eq!(
            found(
                &bound,
                "0::/docker/abc/inner\n",
                &[("/sys/fs/cgroup/inner/cpu.max", "1 2\n")]
            ),
            1
        );
    }

    #[test]
    fn version_1_counts_beside_an_empty_version_2() {
        let both = format!(
            "{V1}{}",
            V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
        );
        let groups = format!("{V1_GROUPS}0::/pod/one\n");
        let limits = [
            (
                "/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us",
                "300000\n",
            ),
            (
                "/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us",
                "100000\n",
            ),
        ];
        assert_eq!(found(&both, &groups, &limits), 3);
    }

    #[test]
    fn where_nothing_can_be_read_there_is_one_at_least() {
        assert!(usable_by(&|_| None).get() >= 1);
        assert_eq!(found("no mounts", "no groups", &[]), 8);
    }
}
