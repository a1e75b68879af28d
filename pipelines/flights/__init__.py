"""The flights that left New York in 2013: raw files -> facts -> feature tables and the spine."""
