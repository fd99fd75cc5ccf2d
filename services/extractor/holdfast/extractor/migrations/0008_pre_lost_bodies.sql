-- Files of pages that the differ gave up: found by page when that is heard, and by state until they are set back.
CREATE INDEX file_attached ON file (page_id) WHERE state = 'attached';
CREATE INDEX file_lost ON file (page_id) WHERE state = 'failed' AND code = 'page-lost';
