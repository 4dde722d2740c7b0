"""Files that data sets consist of: JSON, MATLAB, pickles, depth maps, pictures, parquet shards."""
