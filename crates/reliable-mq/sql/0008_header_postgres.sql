-- One header of a text that holds them; null if this server cannot read it as that, which a list of messages is not to fail of.
create or replace function mq_header(headers text, name text) returns text language plpgsql immutable as
  'begin return headers::jsonb ->> name; exception when others then return null; end';
