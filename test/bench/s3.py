# Puts and gets objects with boto3 as its documentation shows it. Prints the processor time of each, in seconds.
import resource
import sys

import boto3

endpoint, bucket, size, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
content = bytes(range(256)) * (size // 256)


def spent(work):
    before = resource.getrusage(resource.RUSAGE_SELF)
    for n in range(count):
        work(f"boto3/{n}")
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


s3.list_objects_v2(Bucket=bucket, MaxKeys=1)  # connects, and loads what it loads once
print(spent(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=content)), spent(lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
