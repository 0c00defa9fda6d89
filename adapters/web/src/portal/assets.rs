pub(super) const STYLE: &str = "";
