//! Volumes and regions.

use super::or_dash;
use crate::cli::duration::spoken;
use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{PLAIN, WARN};
use crate::cli::volumes::{Region, Volume};

/// `o2cpg mounts`.
#[must_use]
pub fn mounts(volumes: &[Volume], width: usize) -> String {
    if volumes.is_empty() {
        return "no node uses a volume\n".into();
    }
    let nothing = |of: fn(&Volume) -> bool| volumes.iter().all(of);
    let columns = vec![
        Column::left("VOLUME").may_be_cut(),
        Column::left("STATE").spare_if(nothing(|it| it.state.is_empty())),
        Column::left("NODES").spare_if(nothing(|it| it.nodes.is_empty())),
        Column::left("DEVICE").may_be_cut(),
        Column::left("MOUNTED HERE ON").may_be_cut(),
        Column::left("WAITING FOR").may_be_cut().spare_if(nothing(|it| it.waits.is_empty())),
        Column::right("SINCE").spare_if(nothing(|it| it.waits.is_empty())),
    ];
    let mut table = Table::new(columns);
    for volume in volumes {
        let nodes: Vec<String> = volume.nodes.iter().map(u32::to_string).collect();
        let style = if matches!(volume.state.as_str(), "stable" | "") { PLAIN } else { WARN };
        table.push(vec![
            Cell::from(or_dash(&volume.uuid)),
            Cell::new(style, or_dash(&volume.state)),
            Cell::from(or_dash(&nodes.join(" "))),
            Cell::from(or_dash(&volume.device)),
            Cell::from(or_dash(&volume.paths.join(" "))),
            Cell::from(or_dash(&volume.waits)),
            Cell::from(spoken(volume.since_ms)),
        ]);
    }
    table.render(width)
}

/// `o2cpg regions`.
#[must_use]
pub fn regions(regions: &[Region], width: usize) -> String {
    if regions.is_empty() {
        return "no heartbeat region in this kernel\n".into();
    }
    let columns = vec![
        Column::left("REGION"),
        Column::left("DEVICE"),
        Column::left("HEARTBEAT"),
        Column::left("MOUNTED HERE ON").may_be_cut(),
    ];
    let mut table = Table::new(columns);
    for region in regions {
        let (style, heartbeat) = match region.pid {
            // The kernel names a thread that has ended: see `configfs::Region::is_broken_off`.
            Some(_) if region.device.is_empty() => (WARN, "broken off, do not touch: o2cpg status".to_owned()),
            Some(pid) => (PLAIN, format!("pid {pid}")),
            None => (WARN, "none".to_owned()),
        };
        table.push(vec![
            Cell::from(&region.uuid),
            Cell::from(or_dash(&region.device)),
            Cell::new(style, heartbeat),
            Cell::from(or_dash(&region.paths.join(" "))),
        ]);
    }
    table.render(width)
}
